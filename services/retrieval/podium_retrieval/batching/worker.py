"""What every worker shares: a job on its way, how it is resolved, and the worker as the service sees it."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from podium_retrieval.batching.engine import BatchResult
from podium_retrieval.encoder.embedder import Encoding, Prepared
from podium_retrieval.errors import Refusal

_LOG = logging.getLogger(__name__)


class Runs(Protocol):
    """Encoder and index as a worker uses them; see engine.Engine."""

    @property
    def overlaps(self) -> bool: ...
    def begin(self, batch: Sequence[Prepared]) -> Encoding: ...
    def finish(self, batch: Encoding) -> BatchResult: ...
    def run(self, batch: Sequence[Prepared]) -> BatchResult: ...


class Observer(Protocol):
    """Counts each batch; called from the worker's thread."""

    def batch(self, result: BatchResult, size: int, tokens: int) -> None: ...
    def batch_failed(self, size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """One query's candidates, best first, and the part of its time that the worker measures."""

    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    queue_ms: float
    encode_ms: float
    search_ms: float
    batch_size: int


@dataclass(slots=True, eq=False)
class Job:
    """A query on its way. `finish` turns its candidates into an answer, off the worker's thread.

    Its future is resolved exactly once: by the batch that took it, by the drain, or by its caller's cancel.
    """

    query: Prepared
    finish: Callable[[Candidates], object]
    deadline: float
    arrived: float = field(default_factory=time.monotonic)
    future: Future[object] = field(default_factory=Future[object])


class Worker(Protocol):
    """Serves jobs: Owner in batches, Lock one at a time."""

    def start(self) -> None: ...
    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue all of a request's jobs or none.

        Raises:
            Refusal: queue_full, shutting_down or owner_dead.
        """
        ...

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Their caller left: those still waiting cost nothing more."""
        ...

    @property
    def depth(self) -> int: ...
    def trouble(self) -> str | None:
        """Why no answer is to be expected: stuck or dead; None while all is well."""
        ...

    def stop(self, timeout_s: float) -> None:
        """Refuse what waits and end. Returns when the running batch has ended or the time is up."""
        ...


def finish_batch(batch: Sequence[Job], result: BatchResult, started: float) -> None:
    """Resolve a batch's jobs. started: of the batch's own time, by time.monotonic(); what was before is queueing."""
    for index, job in enumerate(batch):
        if index in result.refused:
            refuse_text(job, result.refused[index])
            continue
        finish(
            job,
            Candidates(
                scores=result.scores[index],
                rows=result.rows[index],
                queue_ms=max(0.0, started - job.arrived) * 1e3,
                encode_ms=result.encode_ms,
                search_ms=result.search_ms,
                batch_size=len(batch),
            ),
        )


def finish(job: Job, candidates: Candidates) -> None:
    """Resolve a running job by its own finish; its failure is its own."""
    try:
        job.future.set_result(job.finish(candidates))
    except Refusal as refusal:
        job.future.set_exception(refusal)
    except Exception as error:  # noqa: BLE001  one document's trouble must not reach the rest of the batch
        _LOG.exception("an answer could not be put together")
        job.future.set_exception(Refusal("document_failed", describe(error)))


def refuse_text(job: Job, why: str) -> None:
    """Resolve a running job whose query the encoder does not take; the rest of its batch was served."""
    job.future.set_exception(Refusal("query_refused", f"the embedder refused a query: {why}"))


def refuse(job: Job, refusal: Refusal) -> None:
    """Resolve a waiting job by a refusal, unless its caller has left."""
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(refusal)


def queue_full(depth: int, limit: int) -> Refusal:
    """The refusal of a full queue."""
    return Refusal(
        "queue_full", f"{depth} queries wait already, the limit is {limit}; come back later", retry_after_s=1.0
    )


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__
