"""RETRIEVAL_MODE=lock: a thread a query, one global lock. The way to serve that batching replaces."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from podium_retrieval.batching.worker import (
    Candidates,
    Job,
    Observer,
    Runs,
    describe,
    finish,
    queue_full,
    refuse,
    refuse_text,
)
from podium_retrieval.errors import Refusal

_LOG = logging.getLogger(__name__)


class Lock:
    """See worker.Worker. The comparison that batching is measured against."""

    def __init__(
        self,
        engine: Runs,
        *,
        queue_limit: int,
        watchdog_s: float,
        threads: int = 64,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._queue_limit = queue_limit
        self._watchdog_s = watchdog_s
        self._observer = observer
        self._engine_lock = threading.Lock()  # one query encodes and searches at a time
        self._count_lock = threading.Lock()  # guards _depth
        self._depth = 0
        self._busy_since: float | None = None
        self._stopping = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="retrieval-lock")

    def start(self) -> None:
        """Nothing: threads start with the first queries."""

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return self._depth

    def submit(self, jobs: Sequence[Job]) -> None:
        """See Worker.submit."""
        if self._stopping:
            raise Refusal("shutting_down", "the service is shutting down")
        with self._count_lock:
            if self._depth + len(jobs) > self._queue_limit:
                raise queue_full(self._depth, self._queue_limit)
            self._depth += len(jobs)
        for job in jobs:
            self._pool.submit(self._serve, job)

    def cancel(self, jobs: Sequence[Job]) -> None:
        """See Worker.cancel."""
        for job in jobs:
            job.future.cancel()

    def trouble(self) -> str | None:
        """See Worker.trouble."""
        busy_since = self._busy_since
        if busy_since is not None and time.monotonic() - busy_since > self._watchdog_s:
            return f"a query has been running for {time.monotonic() - busy_since:.0f} s"
        return None

    def stop(self, timeout_s: float) -> None:
        """See Worker.stop."""
        self._stopping = True
        if self._engine_lock.acquire(timeout=timeout_s):
            self._engine_lock.release()
            self._pool.shutdown(wait=True)
        else:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _serve(self, job: Job) -> None:
        with self._engine_lock:
            with self._count_lock:
                self._depth -= 1
            if self._stopping:
                refuse(job, Refusal("shutting_down", "the service is shutting down"))
                return
            started = time.monotonic()
            if started >= job.deadline:
                refuse(job, Refusal("deadline", "the deadline passed while the query waited"))
                return
            if not job.future.set_running_or_notify_cancel():
                return
            self._busy_since = started
            try:
                result = self._engine.run([job.query])
            except Exception as error:  # noqa: BLE001  this query's failure; the next must run
                _LOG.exception("a query failed")
                if self._observer:
                    self._observer.batch_failed(1)
                job.future.set_exception(Refusal("batch_failed", f"the query failed: {describe(error)}"))
                return
            finally:
                self._busy_since = None
        if self._observer:
            self._observer.batch(result, 1, job.query.n_tokens)
        if result.refused:
            refuse_text(job, result.refused[0])
            return
        finish(
            job,
            Candidates(
                result.scores[0], result.rows[0], (started - job.arrived) * 1e3, result.encode_ms, result.search_ms, 1
            ),
        )
