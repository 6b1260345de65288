"""Checks the limits that the kernel enforces for each process alone, over all processes of a program."""

import contextlib
from dataclasses import dataclass

from podium_sandbox.isolation import libc
from podium_sandbox.run import usage
from podium_sandbox.run.disk import Disk
from podium_sandbox.run.outcome import Stop
from podium_sandbox.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class Watch:
    """Over the descendants of process `reaper`.

    shared_bytes: the zygote's memory. uid: the program's, where it has one of its own. scratch: the folder of its
    files where they are not in a file system of their own.
    """

    settings: SandboxSettings
    reaper: int
    shared_bytes: int
    uid: int | None
    scratch: str | None

    def exceeded(self) -> Stop | None:
        """The first limit that is exceeded now. Takes milliseconds: not for the event loop's thread."""
        # As the program's own user: reading its open files and memory then needs no right beyond becoming it.
        with contextlib.nullcontext() if self.uid is None else libc.acting_as(self.uid):
            s = self.settings
            used = usage.measure(self.reaper, self.shared_bytes, s.memory_bytes)
            if used.memory_bytes > s.memory_bytes:
                return "memory"
            if used.cpu_s > s.cpu_s:
                return "cpu"
            if used.tasks > s.processes + 2:  # the reaper's init and the program's first process are among them
                return "processes"
            if self.scratch is not None:
                taken = Disk(self.scratch, s.scratch_bytes, s.file_bytes).count(used.pids)
                if taken > s.scratch_bytes:
                    return "scratch"
        return None
