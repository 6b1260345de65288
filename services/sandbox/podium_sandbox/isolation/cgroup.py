"""A cgroup (v2) for each run, where the service may create them: the kernel then limits the run's memory.

It may with systemd's Delegate=yes, and in a container whose /sys/fs/cgroup is writable.
"""

import contextlib
import os
from pathlib import Path

_SERVICE = "podium-service"
_RUN = "podium-run-"


class NoCgroup(OSError):
    """Why the service may create no cgroups."""


class Cgroup:
    """The service's own, with the service in one leaf of it and each run in another."""

    def __init__(self) -> None:
        """Move this process into a leaf, as only a cgroup without processes may be divided.

        Raises:
            NoCgroup: the kernel, the mount or another process in it does not allow that.
        """
        self._folder = _own_folder()
        try:
            if "memory" not in (self._folder / "cgroup.controllers").read_text().split():
                raise NoCgroup("its memory controller is not ours")
            (self._folder / _SERVICE).mkdir(exist_ok=True)
            self._move(self._folder / _SERVICE)
            (self._folder / "cgroup.subtree_control").write_text("+memory")
        except OSError as error:
            self.close()
            raise NoCgroup(str(error)) from error

    def add(self, run: int, memory_bytes: int) -> str:
        """Make a run's cgroup; all its processes end when they need more together. Returns its folder."""
        folder = self._folder / f"{_RUN}{run}"
        folder.mkdir()
        (folder / "memory.max").write_text(str(memory_bytes))
        (folder / "memory.oom.group").write_text("1")
        with contextlib.suppress(OSError):  # there is none without swap
            (folder / "memory.swap.max").write_text("0")
        return str(folder)

    def close(self) -> None:
        """Move the service back and remove what was created."""
        with contextlib.suppress(OSError):
            (self._folder / "cgroup.subtree_control").write_text("-memory")
        with contextlib.suppress(OSError):
            self._move(self._folder)
        with contextlib.suppress(OSError):
            (self._folder / _SERVICE).rmdir()

    @staticmethod
    def _move(folder: Path) -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def enter(folder: str) -> None:
    """Put the calling process into a run's cgroup."""
    Path(folder, "cgroup.procs").write_text("0")


def out_of_memory(folder: str) -> bool:
    """Whether the kernel ended the run because it needed too much."""
    with contextlib.suppress(OSError):
        events = dict(line.split() for line in Path(folder, "memory.events").read_text().splitlines())
        return int(events.get("oom_kill", 0)) > 0
    return False


def remove(folder: str) -> None:
    """Remove a run's cgroup, which holds no process any more."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _own_folder() -> Path:
    with contextlib.suppress(OSError):
        path = next(
            (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), None
        )
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            root, mount = fields.split()[3:5]
            if path is not None and kind.split()[0] == "cgroup2" and (path + "/").startswith(root.rstrip("/") + "/"):
                return Path(mount + path.removeprefix(root.rstrip("/")))
    raise NoCgroup("this process is in no cgroup of version 2 that is mounted")
