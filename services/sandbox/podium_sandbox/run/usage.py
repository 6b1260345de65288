"""What a program's processes use together, read from /proc."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """memory_bytes: private and shared memory of all processes, each page once, less what is the zygote's."""

    pids: tuple[int, ...]
    memory_bytes: int
    tasks: int
    cpu_s: float


def measure(root: int, shared_bytes: int, limit: int) -> Usage:
    """Usage of all descendants of process `root`, which itself is not counted.

    shared_bytes: the zygote's anonymous memory. Only where the sum of all processes' memory, which counts a page once
    for each process that shares it, is over `limit` are pages counted one by one, as that takes milliseconds.
    """
    tasks = 0
    cpu = 0.0
    resident: dict[int, int] = {}
    for pid in _descendants(root):
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            fields = _fields(f"/proc/{pid}/status")
            resident[pid] = _kilobytes(fields, "RssAnon", "RssShmem")
            tasks += int(fields["Threads"])
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
            cpu += sum(int(field) for field in times) / _TICKS
    memory = max(0, sum(resident.values()) - shared_bytes)
    if memory > limit:
        memory = _each_page_once(resident, shared_bytes)
    return Usage(tuple(resident), memory, tasks, cpu)


def _each_page_once(resident: dict[int, int], shared_bytes: int) -> int:
    """Proportional sizes: a page that n processes share counts as 1/n of it in each.

    What the zygote holds too is taken off once, and never more than what is shared at all: a process that has
    executed another program shares nothing. One that cannot be read counts whole.
    """
    total = shared = 0
    for pid, whole in resident.items():
        try:
            fields = _fields(f"/proc/{pid}/smaps_rollup")
            total += _kilobytes(fields, "Pss_Anon", "Pss_Shmem")
            shared += _kilobytes(fields, "Pss") - _kilobytes(fields, "Private_Clean", "Private_Dirty")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except (OSError, KeyError):
            total += whole
            shared += whole
    return total - min(shared_bytes, shared)


def _fields(path: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)


def _kilobytes(fields: dict[str, str], *names: str) -> int:
    return sum(int(fields[name].split()[0]) for name in names) * 1024


def _descendants(root: int) -> Iterator[int]:
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                    for child in map(int, children):
                        waiting.append(child)
                        yield child
