"""The system calls that Python has no function for."""

import ctypes
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

_SYS_OPENAT2 = 437
_RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 4, 8
_SYS_MOUNT_SETATTR = 442  # one number on every architecture, as for all calls since Linux 5.1
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_CAPABILITY_VERSION_3 = 0x20080522


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(number: int, *arguments: object, what: str) -> int:
    """A raw system call. Raises OSError whose text begins with `what`."""
    return _checked(_libc.syscall(number, *arguments), what)


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Open a path below an open folder. A symbolic link anywhere in the path fails with ELOOP."""
    how = struct.pack("QQQ", flags, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH)
    return syscall(_SYS_OPENAT2, folder, os.fsencode(path), how, ctypes.c_size_t(len(how)), what="openat2")


def prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    result = _libc.mount(
        source.encode(),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        data.encode(),
    )
    _checked(result, f"mount {kind or source} on {target}")


def make_read_only(target: str, *, devices: bool = False) -> None:
    """Make a mount and all below it read-only, without set-uid programs and, unless `devices`, device files."""
    flags = MS_RDONLY | MS_NOSUID | (0 if devices else MS_NODEV)  # MOUNT_ATTR_* has the same values for these three
    attributes = struct.pack("QQQQ", flags, 0, 0, 0)
    syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(target),
        _AT_RECURSIVE,
        attributes,
        ctypes.c_size_t(len(attributes)),
        what=f"mount_setattr {target}",
    )


def pivot_root(new: str, old: str) -> None:
    _checked(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def unmount(target: str, flags: int) -> None:
    _checked(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def drop_capabilities() -> None:
    """Give up every capability of this thread; with no_new_privs they cannot come back."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, bytes(24)), "capset")


@contextmanager
def acting_as(uid: int) -> Generator[None]:
    """Reach files, and other processes' entries of /proc, as this user; holds for the calling thread only."""
    user, group = _libc.setfsuid(-1), _libc.setfsgid(-1)  # an invalid id changes nothing and returns the current one
    _libc.setfsgid(uid)
    _libc.setfsuid(uid)
    try:
        yield
    finally:
        _libc.setfsuid(user)
        _libc.setfsgid(group)
