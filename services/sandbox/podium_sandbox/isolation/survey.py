"""Tests which isolation layers this kernel allows, each in a process that ends at once."""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from podium_sandbox.isolation import landlock, libc, rootfs, seccomp
from podium_sandbox.isolation.layers import INSIDE_UID, Isolation, Namespaces, become, confine, furnish, isolate

_UNUSUAL = ("colorsys", "tabnanny", "sched", "wave", "mailbox")
"""Modules of the standard library that few others import, so that they are not loaded yet."""


def survey(wanted: Literal["auto", "namespaces", "filters"], base: str, uid_base: int) -> Isolation:
    """Returns the strongest isolation in which programs can still import their modules.

    base: a folder to build on; uid_base: an unused user id.
    """
    missing: list[str] = []
    view = rootfs.interpreter_view()

    def works(name: str, attempt: Callable[[], None]) -> bool:
        problem = _attempt(attempt)
        if problem is not None:
            missing.append(f"{name}: {problem}")
        return problem is None

    filtered = works("seccomp", lambda: seccomp.install(own_processes=True))
    abi = landlock.abi() if works("Landlock", _try_landlock) else 0
    own_uid = os.geteuid() == 0 and works("a user id of its own", lambda: become(uid_base))
    ways: list[Isolation] = []
    if wanted != "filters":
        ways += [Isolation("root", abi, filtered, own_uid=True)] if own_uid else []
        ways.append(Isolation("user", abi, filtered, own_uid=False))
    ways += [Isolation(None, abi, filtered, own_uid=True)] if own_uid else []
    ways.append(Isolation(None, abi, filtered, own_uid=False))
    for isolation in ways:
        kind = isolation.namespaces
        if kind is not None and not works(f"namespaces ({kind})", lambda kind=kind: _try_namespaces(kind, view, base)):
            continue
        layers = f"namespaces ({kind})" if kind else f"filters, {'a' if isolation.own_uid else 'no'} user id of its own"
        uid = uid_base if isolation.own_uid else None
        if works(
            f"imports behind {layers}", lambda isolation=isolation, uid=uid: _rehearse(isolation, view, base, uid)
        ):
            return replace(isolation, missing=tuple(missing))
    return replace(ways[-1], missing=tuple(missing), imports=False)


def _try_namespaces(kind: Namespaces, view: rootfs.View, base: str) -> None:
    isolate(kind)
    _in_child(lambda: furnish(view, base, uid=INSIDE_UID, scratch_bytes=1 << 20))


def _rehearse(isolation: Isolation, view: rootfs.View, base: str, uid: int | None) -> None:
    """Apply the isolation to this process and import modules that the zygote has not loaded."""
    folders = [path for path in sys.path if os.path.isdir(path) and path.startswith(view.readable)]

    def inside() -> None:
        scratch = os.path.dirname(base)  # where programs without a file system of their own have theirs
        if isolation.namespaces is not None:
            scratch = rootfs.SCRATCH
            owner = INSIDE_UID if isolation.namespaces == "user" else os.geteuid() if uid is None else uid
            furnish(view, base, uid=owner, scratch_bytes=1 << 20)
        if uid is not None:
            become(uid)
        os.chdir(scratch)
        confine(isolation, view, scratch)
        for path in folders:
            os.listdir(path)
        for name in _UNUSUAL:
            importlib.import_module(name)

    if isolation.namespaces is None:
        inside()
    else:
        isolate(isolation.namespaces)
        _in_child(inside)


def _in_child(action: Callable[[], None]) -> None:
    """Do it in the first process of new process numbers."""
    problem = _attempt(action)
    if problem is not None:
        raise OSError(problem)


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
        except BaseException as error:  # noqa: BLE001  # whatever stops this layer is the result
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
