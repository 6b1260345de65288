"""What a program sees of files: the interpreter and the system's libraries read-only, and an empty scratch folder."""

import contextlib
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from podium_sandbox.isolation import libc

SCRATCH = "/scratch"
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/sbin")
_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")


@dataclass(frozen=True, slots=True)
class View:
    """readable: folders and files a program may read. hidden: folders below them that are shown empty."""

    readable: tuple[str, ...]
    hidden: tuple[str, ...]


def interpreter_view() -> View:
    """What this interpreter and its packages need. Podium's own packages (demo answers among them) are hidden."""
    paths = sysconfig.get_paths()
    libraries = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    # Folders on the path besides, unless they are a checkout of Podium's.
    others = [path for path in sys.path if os.path.isdir(path) and not any(Path(path).glob("podium_*/__init__.py"))]
    wanted = [*_SYSTEM, *_FILES, sys.base_prefix, sys.base_exec_prefix, sys.prefix, *sorted(libraries), *others]
    readable: list[str] = []
    for path in wanted:
        inside = any(path == known or path.startswith(known + "/") for known in readable)
        if os.path.exists(path) and not inside:
            readable.append(path)
    hidden = {str(folder) for site in libraries for folder in Path(site).glob("podium_*") if folder.is_dir()}
    return View(tuple(readable), tuple(sorted(hidden)))


def shared_memory_bytes(scratch_bytes: int) -> int:
    """Size of a program's own /dev/shm."""
    return min(scratch_bytes, 16 << 20)


def enter(view: View, base: str, *, uid: int, scratch_bytes: int) -> None:
    """Change this mount namespace's root to one that holds the view, devices, /proc and a scratch folder of its own.

    base: an existing folder to build on; it stays empty outside. uid: owner of the scratch folder.
    scratch_bytes: the tmpfs' size, a hard limit that a program meets as ENOSPC.
    """
    libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
    safe = libc.MS_NOSUID | libc.MS_NODEV
    libc.mount("tmpfs", base, "tmpfs", safe, "size=1m,mode=755")
    for source in view.readable:
        _show(source, base)
    for folder in view.hidden:
        libc.mount("tmpfs", base + folder, "tmpfs", safe | libc.MS_RDONLY, "size=4k,mode=755")
    for source in DEVICES:
        target = _file(base + source)
        libc.mount(source, target, None, libc.MS_BIND)
        libc.make_read_only(target, devices=True)
    _tmpfs(base + SCRATCH, uid, scratch_bytes)
    _tmpfs(base + "/dev/shm", uid, shared_memory_bytes(scratch_bytes))
    if not os.path.exists(base + "/tmp"):  # it does where the interpreter itself lies there
        os.symlink(SCRATCH, base + "/tmp")
    os.mkdir(base + "/proc")
    with contextlib.suppress(OSError):  # refused in a container whose own /proc is masked: then there is none
        libc.mount("proc", base + "/proc", "proc", safe | libc.MS_NOEXEC, "subset=pid")
    os.chdir(base)
    libc.pivot_root(".", ".")
    libc.unmount(".", libc.MNT_DETACH)
    os.chdir("/")
    libc.mount("none", "/", None, libc.MS_REMOUNT | libc.MS_BIND | safe | libc.MS_RDONLY)


def _show(source: str, base: str) -> None:
    target = base + source
    if source in _SYSTEM and os.path.islink(source):  # /bin -> usr/bin
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        _file(target)
    libc.mount(os.path.realpath(source), target, None, libc.MS_BIND | libc.MS_REC)
    libc.make_read_only(target)


def _file(path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab"):
        pass
    return path


def _tmpfs(path: str, uid: int, size: int) -> None:
    os.makedirs(path)
    # One inode for each 4 KiB page: many empty files are bounded as well.
    options = f"size={size},nr_inodes={max(64, size // 4096)},mode=700,uid={uid},gid={uid}"
    libc.mount("tmpfs", path, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, options)
