"""The one thread that encodes and searches; nothing else touches the engine. It takes what waits, a batch at a time.

Where the encoder is a device of its own, the next batch is handed to it while it still works, once a full one waits:
between two batches it would otherwise stand still for as long as Python takes to choose and launch. A partial
batch never starts early: clients of the running batch may still join it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from podium_retrieval.batching.policy import Budget, Waiting, choose
from podium_retrieval.batching.worker import Job, Observer, Runs, describe, finish_batch, queue_full, refuse
from podium_retrieval.encoder.embedder import Encoding
from podium_retrieval.errors import Refusal

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch that the encoder has; `full` when it left others waiting."""

    jobs: list[Job]
    encoding: Encoding
    full: bool


_POLL_S: Final = 0.001
"""Between two looks at an encoder that works while a batch gathers."""


class Owner:
    """Micro-batching: see batching.choose for which of those that wait come next."""

    def __init__(
        self,
        engine: Runs,
        budget: Budget,
        *,
        queue_limit: int,
        watchdog_s: float,
        wait_s: float = 0.0,
        finish_threads: int = 1,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._budget = budget
        self._queue_limit = queue_limit
        self._watchdog_s = watchdog_s
        self._wait_s = wait_s
        self._observer = observer
        self._waiting: list[Job] = []
        self._waiting_tokens = 0
        # Guards _waiting, _waiting_tokens, _stopping and _busy_since; notified when a job arrives or stopping begins.
        self._changed = threading.Condition()
        self._left_over = False  # the owner's own: whether the last batch taken left others waiting
        self._stopping = False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name="retrieval-owner", daemon=True)
        self._finishers = ThreadPoolExecutor(finish_threads, thread_name_prefix="retrieval-finish")

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    def submit(self, jobs: Sequence[Job]) -> None:
        """See Worker.submit."""
        with self._changed:
            if self._stopping:
                raise Refusal("shutting_down", "the service is shutting down")
            if not self._thread.is_alive():
                raise Refusal("owner_dead", "the search thread has died; the service must be restarted")
            if len(self._waiting) + len(jobs) > self._queue_limit:
                raise queue_full(len(self._waiting), self._queue_limit)
            self._waiting.extend(jobs)
            self._waiting_tokens += sum(job.query.n_tokens for job in jobs)
            self._changed.notify()

    def cancel(self, jobs: Sequence[Job]) -> None:
        """See Worker.cancel. A job already in a batch runs with it, and its result is dropped."""
        for job in jobs:
            job.future.cancel()

    def trouble(self) -> str | None:
        """See Worker.trouble."""
        if not self._thread.is_alive():
            return "the search thread is dead"
        busy_since = self._busy_since
        if busy_since is not None and time.monotonic() - busy_since > self._watchdog_s:
            return f"a batch has been running for {time.monotonic() - busy_since:.0f} s"
        return None

    def stop(self, timeout_s: float) -> None:
        """See Worker.stop."""
        with self._changed:
            self._stopping = True
            left, self._waiting = self._waiting, []
            self._changed.notify()
        for job in left:
            refuse(job, Refusal("shutting_down", "the service is shutting down"))
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._finishers.shutdown(wait=True)

    def _work(self) -> None:
        begun: list[_Begun] = []  # in the encoder's order: one, or two where batches overlap
        try:
            while True:
                if not begun:
                    jobs = self._next_batch()
                    if jobs is None:
                        return
                    self._begin(jobs, begun)
                    continue
                ahead = self._full_batch(begun[0])
                if ahead:
                    self._begin(ahead, begun)
                self._complete(begun[0])
                del begun[0]
                self._busy_since = time.monotonic() if begun else None
        except BaseException:
            _LOG.exception("the search thread died")
            raise
        finally:
            with self._changed:
                left, self._waiting = self._waiting, []
            dead = Refusal("owner_dead", "the search thread has died; the service must be restarted")
            for job in left:
                refuse(job, dead)
            for job in (job for batch in begun for job in batch.jobs if not job.future.done()):
                job.future.set_exception(dead)

    def _next_batch(self) -> list[Job] | None:
        """Wait for work and take a batch of it; None when stopping."""
        with self._changed:
            while True:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return None
                self._linger()
                batch = self._take()
                if batch:
                    self._busy_since = time.monotonic()
                    return batch

    def _full_batch(self, current: _Begun) -> list[Job]:
        """While a full batch is in the encoder: wait for another full one to gather, or for the encoder."""
        if not (current.full and self._engine.overlaps):
            return []
        with self._changed:
            while not (self._stopping or current.encoding.ready()):
                if self._overfull():
                    return self._take()
                self._changed.wait(_POLL_S)
        return []

    def _overfull(self) -> bool:
        """Whether more waits than a batch holds."""
        # A padded batch holds fewer tokens than its budget: then its successor is begun later, and that is all.
        return len(self._waiting) > self._budget.queries or self._waiting_tokens > self._budget.tokens

    def _linger(self) -> None:
        """RETRIEVAL_WAIT_MS: give others the time to join, until the oldest has waited that long."""
        while self._wait_s > 0 and not self._stopping and self._waiting:
            left = self._waiting[0].arrived + self._wait_s - time.monotonic()
            if left <= 0 or len(self._waiting) >= self._budget.queries:
                return
            self._changed.wait(left)

    def _take(self) -> list[Job]:
        """Drop who left or came too late, choose from the rest, and mark the chosen as running."""
        now = time.monotonic()
        alive: list[Job] = []
        for job in self._waiting:
            if job.future.cancelled():
                continue
            if now >= job.deadline:
                refuse(job, Refusal("deadline", "the deadline passed while the query waited"))
                continue
            alive.append(job)
        chosen = choose([Waiting(job.query.n_tokens, now - job.arrived) for job in alive], self._budget)
        taken = set(chosen)
        self._waiting = [job for index, job in enumerate(alive) if index not in taken]
        self._waiting_tokens = sum(job.query.n_tokens for job in self._waiting)
        self._left_over = bool(self._waiting)
        return [alive[index] for index in chosen if alive[index].future.set_running_or_notify_cancel()]

    def _begin(self, jobs: list[Job], begun: list[_Begun]) -> None:
        """Hand a batch to the encoder, and put it at the end of `begun` unless that failed."""
        try:
            begun.append(_Begun(jobs, self._engine.begin([job.query for job in jobs]), self._left_over))
        except BaseException as error:  # noqa: BLE001  whatever it is, it is this batch's, and the next must run
            self._fail(jobs, error)

    def _complete(self, batch: _Begun) -> None:
        jobs = batch.jobs
        try:
            result = self._engine.finish(batch.encoding)
            if len(result.scores) != len(jobs):
                raise RuntimeError(f"{len(jobs)} queries gave {len(result.scores)} results")
        except BaseException as error:  # noqa: BLE001  as above
            self._fail(jobs, error)
            return
        if self._observer:
            self._observer.batch(result, len(jobs), sum(job.query.n_tokens for job in jobs))
        # A batch begun early waited for the one before: what is not its own time is queueing.
        started = time.monotonic() - (result.encode_ms + result.search_ms) / 1e3
        self._finishers.submit(finish_batch, jobs, result, started)

    def _fail(self, jobs: list[Job], error: BaseException) -> None:
        """Resolve a batch by its failure; raises it again when it is no mere Exception."""
        _LOG.error("a batch of %d failed", len(jobs), exc_info=error)
        if self._observer:
            self._observer.batch_failed(len(jobs))
        for job in jobs:
            job.future.set_exception(Refusal("batch_failed", f"the batch failed: {describe(error)}"))
        if not isinstance(error, Exception):
            raise error
