"""Opens files below the runs folder and nothing else: no link is followed, no name climbs."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

LOG: Final = "events.jsonl"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotThere(LookupError):
    """No such file below the runs folder, or one that is not to be read."""


def is_plain(name: str) -> bool:
    """Whether it names something inside a folder and nothing else."""
    return bool(name) and name not in (".", "..") and not {"/", "\\", "\0"} & set(name)


def open_below(root: Path, *names: str) -> BinaryIO:
    """A regular file by the folders that lead to it. root itself may be a link: it is a setting.

    Raises:
        NotThere: a name is no plain one, something on the way is a link, or it cannot be read.
    """
    try:
        if not names or not all(is_plain(name) for name in names):
            raise NotThere("/".join(names))
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names[:-1]:
                inner = os.open(name, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            leaf = os.open(names[-1], _FILE, dir_fd=handle)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        raise NotThere("/".join(names)) from error
    if not stat.S_ISREG(os.fstat(leaf).st_mode):
        os.close(leaf)
        raise NotThere("/".join(names))
    return os.fdopen(leaf, "rb")


def read_below(root: Path, *names: str, most: int | None = None) -> bytes:
    """The whole file.

    Raises:
        NotThere: see open_below; or it has more than `most` bytes.
    """
    with open_below(root, *names) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise NotThere(f"{'/'.join(names)} has {size:,} bytes, more than LIVE_RECORD_MB allows")
        return file.read()


def run_names(root: Path) -> list[str]:
    """The run folders, by name: real folders that hold a real log."""
    found: list[str] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and _is_file(Path(entry.path) / LOG):
                    found.append(entry.name)
    except OSError:
        return []
    return sorted(found)


def run_folder(root: Path, run_id: str) -> Path:
    """The folder of a run.

    Raises:
        NotThere: there is no such run.
    """
    folder = root / run_id
    if not is_plain(run_id) or folder.is_symlink() or not _is_file(folder / LOG):
        raise NotThere(run_id)
    return folder


def without_links(folder: Path) -> None:
    """Refuse a run folder with links in it: what reads it whole would follow them.

    Raises:
        NotThere: there is one; the message names it.
    """
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(where, name)):
                raise NotThere(f"{folder.name} holds a link ({name}), which is not followed: no report is made")


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
