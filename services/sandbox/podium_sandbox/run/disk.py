"""What a program's files take below its scratch folder: those with a name, and those that it only holds open.

Whatever a program does to hide a file (no rights, a path too long to name) counts as more than the limit.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from podium_sandbox.isolation import libc

_LEAST = 4096
"""Bytes of an entry, however small: many empty files are bounded as well."""
_LONGEST_PATH = 2048
_ATTEMPTS = 3
_TOO_MUCH = 1 << 62
_REPLACED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)
"""Errors of opening a folder that the program has replaced by something else."""


class _Folder:
    """An open folder that paths are relative to, closed with its last path."""

    def __init__(self, path: str, parent: "_Folder | None" = None) -> None:
        try:
            self.descriptor = _open(path, parent, os.O_RDONLY)
        except PermissionError:  # its owner's rights back, as its files count too
            itself = _open(path, parent, os.O_PATH)
            try:
                os.chmod(f"/proc/self/fd/{itself}", 0o700)
            finally:
                os.close(itself)
            self.descriptor = _open(path, parent, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def _open(path: str, parent: _Folder | None, flags: int) -> int:
    flags |= os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags) if parent is None else libc.open_beneath(parent.descriptor, path, flags)


class Disk:
    """Counts one look at a folder. Each inode counts once; counting ends beyond `limit`."""

    def __init__(self, folder: str, limit: int, file_bytes: int) -> None:
        self._folder = folder
        self._limit = limit
        self._file_bytes = file_bytes
        self._seen: set[int] = set()
        self.total = 0

    def count(self, pids: Iterable[int]) -> int:
        """Bytes on disk of the folder's files and of those that the processes hold open or mapped."""
        for _ in range(_ATTEMPTS):
            self._seen.clear()
            self.total = 0
            try:
                self._count_names()
                for pid in pids:
                    self._count_held(pid)
            except FileNotFoundError:
                return self.total  # the folder is gone
            except PermissionError:
                continue  # rights may have been taken within a look
            except OSError:
                break
            return self.total
        return _TOO_MUCH

    def _add(self, inode: int, size: int) -> None:
        self.total += _LEAST if inode in self._seen else max(_LEAST, size)
        self._seen.add(inode)

    def _count_names(self) -> None:
        waiting: list[tuple[_Folder, str]] = [(_Folder(self._folder), ".")]
        while waiting and self.total <= self._limit:
            base, path = waiting.pop()
            try:
                folder = _Folder(path, base)
            except OSError as error:
                if error.errno in _REPLACED:
                    continue
                raise
            if len(path) > _LONGEST_PATH:
                base, path = folder, "."
            with os.scandir(folder.descriptor) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        self._add(status.st_ino, status.st_blocks * 512)
                        if stat.S_ISDIR(status.st_mode):
                            waiting.append((base, f"{path}/{entry.name}"))
                    if self.total > self._limit:
                        break

    def _count_held(self, pid: int) -> None:
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    link = f"/proc/{pid}/fd/{name}"
                    if os.readlink(link).startswith(f"{self._folder}/"):
                        self._add_held(os.stat(link))
            maps = Path(f"/proc/{pid}/maps").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return
        except PermissionError:
            if _has_memory(pid):
                raise
            return
        inside = re.escape(os.fsencode(self._folder))
        for span, inode in re.findall(rb"(?m)^(\S+) \S+ \S+ \S+ (\d+) +" + inside + rb"/", maps):
            if int(inode) not in self._seen:
                self._add(int(inode), self._mapped_size(pid, span.decode()))

    def _add_held(self, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode) and status.st_ino not in self._seen:
            self._add(status.st_ino, status.st_blocks * 512)

    def _mapped_size(self, pid: int, span: str) -> int:
        """Of a file that is only mapped. Without the right to look it counts as the largest that there may be."""
        with contextlib.suppress(OSError):
            return os.stat(f"/proc/{pid}/map_files/{span}").st_blocks * 512
        return self._file_bytes


def _has_memory(pid: int) -> bool:
    """False for a process that ends: it holds no file any more, and its folder in /proc is closed."""
    with contextlib.suppress(OSError):
        return not Path(f"/proc/{pid}/statm").read_text().startswith("0 ")
    return False
