"""Which walls this kernel allows, and putting them up around a process."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from podium_sandbox.isolation import landlock, libc, rootfs, seccomp

Namespaces = Literal["root", "user"]

INSIDE_UID = 1000
_NAMESPACES = libc.CLONE_NEWPID | libc.CLONE_NEWIPC | libc.CLONE_NEWNET | libc.CLONE_NEWUTS


@dataclass(frozen=True, slots=True)
class Walls:
    """What confines a program.

    namespaces: own processes, files, network and IPC; made with root's rights or by a user namespace. None: none.
    landlock: the kernel's version of it, 0 for none. seccomp: the system call filter. own_uid: a user id of its own.
    missing: why a wall is not there.
    """

    namespaces: Namespaces | None
    landlock: int
    seccomp: bool
    own_uid: bool
    missing: tuple[str, ...] = ()

    @property
    def files(self) -> bool:
        """Files outside the program's own are closed to it."""
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


def survey(wanted: Literal["auto", "namespaces", "filters"], base: str, uid_base: int) -> Walls:
    """Try each wall in a process that ends at once. base: a folder to build on; uid_base: an unused user id."""
    missing: list[str] = []

    def works(name: str, attempt: Callable[[], None]) -> bool:
        problem = _attempt(attempt)
        if problem is not None:
            missing.append(f"{name}: {problem}")
        return problem is None

    own_uid = os.geteuid() == 0 and works("a user id of its own", lambda: become(uid_base))
    namespaces: Namespaces | None = None
    if wanted != "filters":
        kinds: tuple[Namespaces, ...] = ("root", "user") if own_uid else ("user",)
        for kind in kinds:
            if works(f"namespaces ({kind})", lambda kind=kind: _try_namespaces(kind, base)):
                namespaces = kind
                break
    if own_uid and namespaces is None:  # then its scratch folder is below the base's parent, as all see it
        own_uid = works("a user id of its own", lambda: _reach(uid_base, os.path.dirname(base)))
    filtered = works("seccomp", lambda: seccomp.install(own_processes=True))
    abi = landlock.abi() if works("Landlock", _try_landlock) else 0
    return Walls(namespaces, abi, filtered, own_uid and namespaces != "user", tuple(missing))


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
    """Inside new namespaces: files of our own."""
    libc.unshare(libc.CLONE_NEWNS)
    rootfs.enter(view, base, uid=uid, scratch_bytes=scratch_bytes)


def become(uid: int) -> None:
    """From root to a user without any rights."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def confine(walls: Walls, view: rootfs.View, scratch: str) -> None:
    """The last walls, around the process that will run the program. No way back."""
    libc.drop_capabilities()
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    if walls.landlock:
        if walls.namespaces is not None:
            landlock.restrict(read=("/",), write=(scratch, "/dev/shm"), devices=rootfs.DEVICES)
        else:
            landlock.restrict(read=view.readable, write=(scratch,), devices=rootfs.DEVICES)
    if walls.seccomp:
        seccomp.install(own_processes=walls.namespaces is not None)


def _try_namespaces(kind: Namespaces, base: str) -> None:
    isolate(kind)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            furnish(rootfs.interpreter_view(), base, uid=INSIDE_UID, scratch_bytes=1 << 20)
            status = 0
        except OSError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise OSError("mounting is refused")


def _reach(uid: int, folder: str) -> None:
    become(uid)
    os.chdir(folder)


def _try_landlock() -> None:
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(read=("/usr",), write=())


def _attempt(action: Callable[[], None]) -> str | None:
    """Do it in a child process. Returns why it failed, None when it did not."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 2)
        try:
            action()
        except BaseException as error:  # noqa: BLE001  # anything that stops this wall is the answer
            os.write(write, f"{error}\n".encode())
            os._exit(1)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        text = answer.read(4096).decode(errors="replace").strip()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        return None
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return "; ".join(text.splitlines()) or "failed"
