"""Writes PNG files of figures: pillow tries five filters a row, which takes three times as long for nothing smaller."""

import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
LEVEL: Final = 2
"""Of zlib: figures are flat areas, so that higher levels take longer and save little."""


def write_png(path: Path, pixels: npt.NDArray[np.uint8], dpi: int) -> None:
    """Write opaque pixels of shape (height, width, red green blue …) as 8-bit RGB; a fourth channel is left out."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # a row begins with its filter: 0, none
    rows[:, 1:].reshape(height, width, 3)[...] = pixels[:, :, :3]
    per_metre = round(dpi / 0.0254)
    with path.open("wb") as out:
        out.write(SIGNATURE)
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            (b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
            (b"IDAT", zlib.compress(rows.tobytes(), LEVEL)),
            (b"IEND", b""),
        ):
            out.write(
                struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
            )
