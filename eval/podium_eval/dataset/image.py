"""The picture of a question, in each form that datasets give it, as the URL that a model is sent."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, cast
from urllib.parse import urlsplit

from podium_eval.dataset.file import DECODER

TAKEN: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What the models' APIs document that they take."""
_UNKNOWN: Final = "application/octet-stream"
_MAGIC: Final = (
    (0, b"\x89PNG", "image/png"),
    (0, b"\xff\xd8", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavi", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftypmif1", "image/heic"),
    (4, b"JXL ", "image/jxl"),
    (0, b"\0\0\1\0", "image/x-icon"),
    (0, b"%PDF", "application/pdf"),
)
_SUFFIXES: Final = {
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".svg": "image/svg+xml",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".jxl": "image/jxl",
    ".ico": "image/x-icon",
    ".pdf": "application/pdf",
}


def image_of(value: object) -> str | None:
    """An image field as a URL, None where it holds no image.

    Text stays as it is. Bytes, the hub's {bytes, path} and a list of one image become a URL; so do bytes in base64
    inside {bytes, path}, which is how they are written to jsonl.

    Raises:
        ValueError: it is none of these, with what it is and what to do.
    """
    match value:
        case None | "" | b"":
            return None
        case str():
            if value.startswith(("data:image/", "https://", "http://")):
                return value
            raise ValueError(f"'image' is neither a data:image/ URL nor an http(s) URL but begins {value[:24]!r}")
        case bytes():
            return f"data:{media_type(value)};base64,{base64.b64encode(value).decode('ascii')}"
        case list():
            urls = [url for item in cast("list[object]", value) if (url := image_of(item)) is not None]
            if len(urls) > 1:
                raise ValueError(f"'image' holds {len(urls)} images; a question has one, so join them in one picture")
            return urls[0] if urls else None
        case Mapping():
            return _of_mapping(cast("Mapping[str, Any]", value))
        case _:
            raise ValueError(f"'image' must be a URL as text, it is {type_name(value)}")


def image_of_row(row: Mapping[str, Any]) -> str | None:
    """The image of a row: its `image`, else its `images`, else the one in its `json` field (as HLE-Verified has it).

    Raises:
        ValueError: as image_of; or the `json` field cannot be read, so that an image in it would be missed.
    """
    for name in ("image", "images"):
        image = image_of(row.get(name))
        if image is not None:
            return image
    nested = row.get("json")
    if isinstance(nested, str) and nested.strip():
        try:
            nested = DECODER.decode(nested)
        except (json.JSONDecodeError, RecursionError) as error:
            if '"image' not in nested:
                return None
            raise ValueError("'json' names an image, but is not JSON that can be read; mend it or drop it") from error
    if not isinstance(nested, Mapping):
        return None
    inner = cast("Mapping[str, Any]", nested)
    try:
        return image_of(inner.get("image")) or image_of(inner.get("images"))
    except ValueError as error:
        raise ValueError(f"in 'json': {error}") from error


def fault_of(url: str) -> str | None:
    """Why models would refuse the image at a URL, as far as the URL shows; None where nothing is wrong."""
    kind = _SUFFIXES.get(PurePosixPath(_url_path(url)).suffix.lower())
    if url.startswith("data:"):
        header, comma, payload = url.partition(",")
        kind = header.removeprefix("data:").partition(";")[0]
        if not comma or not payload:
            return "'image' is a data URL without content"
        if header.endswith(";base64"):
            try:
                head = base64.b64decode(payload[:64] + "=" * (-len(payload[:64]) % 4), validate=True)
            except binascii.Error:
                return "'image' is a data URL whose content is not base64"
            detected = media_type(head)
            kind = kind if detected == _UNKNOWN and kind not in TAKEN else detected
    if kind is None or kind in TAKEN:
        return None
    what = "of a type that Podium does not know" if kind == _UNKNOWN else kind
    return f"'image' is {what}, which models do not take; convert it to PNG or JPEG"


def _url_path(url: str) -> str:
    """The path of an http(s) URL; nothing for a data URL or an address that cannot be read."""
    if url.startswith("data:"):
        return ""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def media_type(raw: bytes) -> str:
    """The type of an image by its first bytes."""
    for place, magic, name in _MAGIC:
        if raw.startswith(magic, place):
            return name
    return "image/svg+xml" if raw.lstrip()[:5] in (b"<?xml", b"<svg ", b"<svg>", b"<svg\n") else _UNKNOWN


def _of_mapping(value: Mapping[str, Any]) -> str | None:
    raw = value.get("bytes")
    if isinstance(raw, str):
        try:
            raw = base64.b64decode(raw, validate=True)
        except ValueError as error:
            raise ValueError("'image' has 'bytes' that are not base64") from error
    if isinstance(raw, bytes) and raw:
        return image_of(raw)
    texts = list(_texts(value))
    for text in texts:
        if text.startswith(("data:image/", "https://", "http://")):
            return text
    if texts:
        raise ValueError(f"'image' must be a URL as text or hold bytes, it only names {texts[0][:80]!r}")
    if all(item is None or item == b"" or item == "" for item in value.values()):
        return None
    raise ValueError("'image' must be a URL as text, it is an object without bytes")


def _texts(value: Mapping[str, Any]) -> Iterator[str]:
    for name in ("src", "url", "path"):
        text = value.get(name)
        if isinstance(text, str) and text:
            yield text


def type_name(value: object) -> str:
    """A JSON value's type, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true/false"
        case str():
            return "a text"
        case bytes():
            return "bytes"
        case list():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return "a number"
