"""What a program's processes use together, read from /proc."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """memory_bytes: private and shared memory of all processes, less what they share with the zygote."""

    memory_bytes: int
    tasks: int
    cpu_s: float


def measure(root: int, shared_bytes: int) -> Usage:
    """Usage of all descendants of process `root`, which itself is not counted.

    shared_bytes: anonymous memory that each process shows though it still shares it with the zygote.
    """
    memory = tasks = 0
    cpu = 0.0
    for pid in _descendants(root):
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            anonymous = int(fields["RssAnon"].split()[0]) * 1024
            memory += max(0, anonymous - shared_bytes) + int(fields["RssShmem"].split()[0]) * 1024
            tasks += int(fields["Threads"])
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
            cpu += sum(int(field) for field in times) / _TICKS
    return Usage(memory, tasks, cpu)


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


def folder_bytes(folder: str, limit: int) -> int:
    """Bytes on disk below a folder; stops counting beyond `limit`. Each entry counts at least 4096."""
    total = 0
    waiting = [folder]
    while waiting and total <= limit:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += max(4096, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                if total > limit:
                    break
    return total
