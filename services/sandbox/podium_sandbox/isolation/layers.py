"""The layers that isolate a process, and how each is applied."""

import os
from dataclasses import dataclass
from typing import Literal

from podium_sandbox.isolation import landlock, libc, rootfs, seccomp

Namespaces = Literal["root", "user"]

INSIDE_UID = 1000
_NAMESPACES = libc.CLONE_NEWPID | libc.CLONE_NEWIPC | libc.CLONE_NEWNET | libc.CLONE_NEWUTS


@dataclass(frozen=True, slots=True)
class Isolation:
    """The layers around a program.

    namespaces: own processes, files, network and IPC; made with root's rights or by a user namespace. None: none.
    landlock: the kernel's version of it, 0 for none. seccomp: the system call filter. own_uid: a user id of its own.
    missing: why a layer is not available. imports: a program can import the standard library and its packages inside.
    """

    namespaces: Namespaces | None
    landlock: int
    seccomp: bool
    own_uid: bool
    missing: tuple[str, ...] = ()
    imports: bool = True

    @property
    def files(self) -> bool:
        """Whether the program is kept from files outside its own."""
        return self.namespaces is not None or self.landlock > 0

    @property
    def network(self) -> bool:
        return self.namespaces is not None or self.seccomp

    @property
    def processes(self) -> bool:
        """Other processes can be neither signalled nor read, and none outlives the program."""
        return self.namespaces is not None or self.seccomp

    @property
    def enough(self) -> bool:
        return self.files and self.network and self.processes


def isolate(kind: Namespaces) -> None:
    """Enter namespaces of our own; the next child is the first process of its own process numbers."""
    uid, gid = os.geteuid(), os.getegid()
    if kind == "root":
        libc.unshare(_NAMESPACES)
        return
    libc.prctl(libc.PR_SET_DUMPABLE, 1)  # or /proc/self belongs to root and the maps cannot be written
    libc.unshare(_NAMESPACES | libc.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{INSIDE_UID} {uid} 1"),
        ("gid_map", f"{INSIDE_UID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    libc.prctl(libc.PR_SET_DUMPABLE, 0)


def furnish(view: rootfs.View, base: str, *, uid: int, scratch_bytes: int) -> None:
    """Give new namespaces a root file system of their own."""
    libc.unshare(libc.CLONE_NEWNS)
    rootfs.enter(view, base, uid=uid, scratch_bytes=scratch_bytes)


def become(uid: int) -> None:
    """Drop from root to an unprivileged user."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def confine(isolation: Isolation, view: rootfs.View, scratch: str) -> None:
    """Apply Landlock and seccomp to the process that will run the program. Irreversible."""
    libc.drop_capabilities()
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    if isolation.landlock:
        if isolation.namespaces is not None:
            landlock.restrict(read=("/",), write=(scratch, "/dev/shm"), devices=rootfs.DEVICES)
        else:
            landlock.restrict(read=view.readable, write=(scratch,), devices=rootfs.DEVICES)
    if isolation.seccomp:
        seccomp.install(own_processes=isolation.namespaces is not None)
