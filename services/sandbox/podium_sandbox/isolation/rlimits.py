"""The limits that the kernel holds each process of a program to."""

import math
import resource
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use. Sizes in bytes, cpu_s in seconds; processes counts threads too."""

    cpu_s: float
    memory_bytes: int
    processes: int
    open_files: int
    file_bytes: int
    scratch_bytes: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """Bytes that a program has mapped before its first line, inherited from the zygote."""

    address_space: int
    data: int


def measure_baseline() -> Baseline:
    """What this process has mapped now."""
    pages = [int(field) for field in Path("/proc/self/statm").read_text().split()]
    size = resource.getpagesize()
    return Baseline(address_space=pages[0] * size, data=pages[5] * size)


def apply(limits: Limits, baseline: Baseline, *, extra_processes: int | None) -> None:
    """Hold this process, and each that comes from it, to the limits.

    RLIMIT_DATA is the memory limit proper: it counts what a process may write to, not reserved address space, and
    makes an allocation fail as a MemoryError with a traceback. RLIMIT_AS is a looser bound for shared mappings,
    which RLIMIT_DATA does not count. Several processes together are the watch's matter.

    extra_processes: how many of the user's processes are not the program's. None: nobody knows, since the user id is
    shared with the service and, in a container, with every other container; then the watch alone counts.
    """
    cpu = math.ceil(limits.cpu_s) + 1
    values = {
        resource.RLIMIT_CORE: 1,  # 0 would still start the program that a pipe in core_pattern names
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_DATA: baseline.data + limits.memory_bytes,
        resource.RLIMIT_AS: baseline.address_space + 2 * limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 256,
        resource.RLIMIT_RTPRIO: 0,
    }
    if extra_processes is not None:
        values[resource.RLIMIT_NPROC] = limits.processes + extra_processes
    for which, wanted in values.items():
        _, hard = resource.getrlimit(which)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        later = value + 1 if which == resource.RLIMIT_CPU and hard != value else value  # at the hard one comes SIGKILL
        resource.setrlimit(which, (value, later))
