"""Ids of traces and spans.

They follow from the run, the task and the order of its events alone: the live export, the one from the log afterwards
and the header that vLLM gets agree, and what is exported twice is the same span.
"""

import hashlib
from typing import Literal

Kind = Literal["task", "orchestrator", "call", "tool"]


def trace_id(run_id: str, segment: int, task_id: str, epoch: int, start: int) -> int:
    """Of one playing of a task. start: which of the segment's task_start events of this task began it, from 1."""
    return _number(16, run_id, segment, task_id, epoch, start)


def span_id(trace: int, kind: Kind, n: int = 1) -> int:
    """The n-th of its kind in the trace, from 1: orchestrator calls, other calls, tools; one task."""
    return _number(8, f"{trace:032x}", kind, n)


def traceparent(trace: int, span: int) -> str:
    """The W3C header that makes `span` the parent of the receiver's spans."""
    return f"00-{trace:032x}-{span:016x}-01"


def _number(size: int, *parts: object) -> int:
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest()) or 1
