"""How a program ended, and the message for its author that names the limit it met."""

import os
import signal
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "error", "timeout", "memory", "output_limit", "killed"]
Stop = Literal["wall", "cpu", "memory", "output", "scratch", "processes"]
"""Why the service itself ended a program."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limits of one run that a sentence names."""

    timeout_s: float
    cpu_s: float
    memory_bytes: int
    output_bytes: int
    scratch_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """exit_code: the program's own; negative for a signal; None where the service ended it."""

    status: Status
    exit_code: int | None
    sentence: str | None = None


_STATUS_BY_STOP: dict[Stop, Status] = {
    "wall": "timeout",
    "cpu": "timeout",
    "memory": "memory",
    "output": "output_limit",
    "scratch": "killed",
    "processes": "killed",
}


_HINTS: dict[int, str] = {
    signal.SIGSEGV: ": often recursion too deep for the stack",
    signal.SIGBUS: ": often shared memory beyond the size of /dev/shm",
}


def judge(*, stop: Stop | None, wait_status: int | None, memory_error: bool, limit: Limit) -> Verdict:
    """Classify how a program ended.

    stop: why the service ended it, if it did. wait_status: as from wait(2), None where no process reported it.
    memory_error: the program ended by a MemoryError that it did not catch.
    """
    if stop is not None:
        return Verdict(_STATUS_BY_STOP[stop], None, _stopped(stop, limit))
    if wait_status is None:
        return Verdict("killed", None, "Stopped: the program was killed, by itself or by the system.")
    code = os.waitstatus_to_exitcode(wait_status)
    if code == -signal.SIGXCPU:
        return Verdict("timeout", None, _stopped("cpu", limit))
    if code == -signal.SIGKILL:
        return Verdict("killed", code, "Stopped: the program was killed, by itself or by the system.")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return Verdict("error", code, f"The program ended by {name}{_HINTS.get(-code, '')}.")
    if memory_error and code != 0:
        return Verdict("memory", code, _stopped("memory", limit))
    return Verdict("ok" if code == 0 else "error", code)


def _stopped(stop: Stop, limit: Limit) -> str:
    mib = 1 << 20
    reasons: dict[Stop, str] = {
        "wall": f"it ran longer than its limit of {limit.timeout_s:g} s",
        "cpu": f"it used more CPU time than its limit of {limit.cpu_s:g} s",
        "memory": f"it needed more memory than its limit of {limit.memory_bytes / mib:g} MiB",
        "output": f"it printed more than its limit of {limit.output_bytes / mib:g} MiB",
        "scratch": f"its files took more than their limit of {limit.scratch_bytes / mib:g} MiB",
        "processes": f"it started more processes and threads than its limit of {limit.processes}",
    }
    return f"Stopped: {reasons[stop]}."
