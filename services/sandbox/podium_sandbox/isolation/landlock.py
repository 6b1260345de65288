"""Landlock: a process gives up all files but named ones, TCP, and signals to anyone outside."""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

from podium_sandbox.isolation import libc

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
READ = _EXECUTE | _READ_FILE | _READ_DIR
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_DEVICE_NODES = sum(1 << bit for bit in (6, 11))  # making character and block devices


def abi() -> int:
    """The kernel's version of Landlock; 0 where there is none or it is switched off."""
    try:
        return libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG, what="landlock")
    except OSError:
        return 0


def restrict(*, read: Iterable[str], write: Iterable[str], devices: Iterable[str] = ()) -> None:
    """Confine this process and all that come from it. Call after no_new_privs is set.

    read: folders and files that stay readable. write: folders that stay writable. devices: device files.
    Paths that do not exist are passed over.

    Raises:
        OSError: the kernel has no Landlock or refuses.
    """
    version = abi()
    if version == 0:
        raise OSError("this kernel has no Landlock")
    everything = _ALL_BY_ABI[min(version, 5)]
    network = 3 if version >= 4 else 0  # binding and connecting TCP
    scope = 3 if version >= 6 else 0  # abstract Unix sockets and signals
    attributes = struct.pack("QQQ", everything, network, scope)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0, what="landlock_create_ruleset")
    try:
        for path in read:
            _allow(ruleset, path, READ & everything)
        for path in write:
            _allow(ruleset, path, everything & ~_DEVICE_NODES)
        for path in devices:
            _allow(ruleset, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & everything)
        libc.syscall(_RESTRICT, ruleset, 0, what="landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = rights if os.path.isdir(path) else rights & _FILE_RIGHTS
            rule = struct.pack("=Qi", allowed, parent)
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0, what=f"landlock_add_rule {path}")
        finally:
            os.close(parent)
