"""Checks of files against the format their names promise, and locks on folders that one process works in."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from podium_retrieval.errors import StartError

_POINTER: Final = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, named: str) -> None:
    """Refuse a Git LFS pointer, which a clone without LFS leaves in a file's place.

    Raises:
        StartError: it is one.
    """
    try:
        with path.open("rb") as file:
            pointer = file.read(len(_POINTER)) == _POINTER
    except OSError:
        return
    if pointer:
        raise StartError(f"{named}={path} is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`")


@contextmanager
def alone(folder: Path, work: str) -> Generator[None]:
    """Hold a folder until the block or the process ends.

    Raises:
        StartError: another process holds it, named by its id.
    """
    lock = folder / f"{work}.lock"
    descriptor = _held(lock)
    if descriptor is None:
        holder = lock.read_text(errors="replace").strip()[:20] if lock.exists() else ""
        raise StartError(
            f"INDEX_DIR={folder}: {work} is under way there, by process {holder or 'unknown'}: let it end first"
        )
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _held(lock: Path) -> int | None:
    """A descriptor that holds the lock; None when another process does."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.fstat(descriptor).st_ino == lock.stat().st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)  # its holder took the file away meanwhile
