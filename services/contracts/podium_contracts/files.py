"""Files that are replaced as a whole, durably: what every part of Podium writes for others to read."""

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary file beside `path`, for the block to write, that takes its place when the block ends.

    A reader or a crash sees the old file or the new one. A block that fails leaves `path` as it was and no other file.

    Raises:
        OSError: it could not be written; `path` is as it was, or new where only the fsync of its folder failed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        move_durably(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def move_durably(made: Path, path: Path) -> None:
    """Put the finished file `made` in the place of `path`, on the same file system; both reach the disk.

    Raises:
        OSError: `path` is as it was, or new where only the fsync of its folder failed.
    """
    _sync(made, os.O_RDONLY)
    made.replace(path)
    _sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`. Raises as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: the name is part of the folder, which the file's own fsync leaves out."""
    try:
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems take no fsync of a folder
            raise
