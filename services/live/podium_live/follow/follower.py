"""One run followed: log, samples and manifest read on, and what its page shows made from them."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import orjson
from podium_analysis.load.run_list import STILL_S, RunLine

from podium_live.files import LOG, NotThere, open_below, read_below
from podium_live.follow.clean import clean
from podium_live.follow.parts import Parts
from podium_live.follow.tail import Tail
from podium_live.follow.totals import Totals

SAMPLES: Final = "samples.jsonl"
SAMPLES_KEPT: Final = 600
MANIFEST_BYTES: Final = 64_000_000


class Follower:
    """Reads on at each `look`, in one thread at a time."""

    def __init__(self, root: Path, run_id: str, wall: Callable[[], float] = time.time) -> None:
        self.root = root
        self.run_id = run_id
        self.wall = wall
        self.manifest: dict[str, Any] = {}
        self.samples: list[dict[str, Any]] = []
        self.touched_s = 0.0
        """When the log was written last, by the wall clock."""
        self._manifest_seen: tuple[int, int] | None = None
        self._begin()
        self._sampled = Tail(lambda: open_below(root, run_id, SAMPLES))

    def _begin(self) -> None:
        self.totals = Totals(self.wall)
        self.parts = Parts()
        self.order: list[tuple[str, int]] = []
        """Tasks in the order in which they ended; one that ended again stands in it again."""
        self._log = Tail(lambda: open_below(self.root, self.run_id, LOG))

    @property
    def n_bad(self) -> int:
        """Lines of the log that could not be read."""
        return self._log.n_bad

    def look(self) -> bool:
        """Read on as far as the files go now; whether there was anything new.

        Raises:
            NotThere: the run is gone.
        """
        log = self.root / self.run_id / LOG
        try:
            self.touched_s = log.lstat().st_mtime
        except OSError as error:
            raise NotThere(self.run_id) from error
        before = self.totals.n_events, self._sampled.offset
        whole = False
        while not whole:
            events, whole = self._log.read()
            if self._log.replaced:  # another log under the same name: what was read is void
                self._begin()
                whole = False
                continue
            events = [clean(event) for event in events]
            for event in events:
                self.totals.observe(event)
                if event.get("type") == "task_complete":
                    self.order.append((str(event.get("task_id")), int(event.get("epoch") or 1)))
            self.parts.add(events)
        whole = False
        while not whole:
            samples, whole = self._sampled.read()
            self.samples = [*self.samples, *samples][-SAMPLES_KEPT:]
        self.totals.still = self.wall() - self.touched_s >= STILL_S
        return self._read_manifest() or before != (self.totals.n_events, self._sampled.offset)

    def _read_manifest(self) -> bool:
        try:
            with open_below(self.root, self.run_id, "run.json") as file:
                state = os.fstat(file.fileno())
            seen = (state.st_mtime_ns, state.st_size)
            if seen == self._manifest_seen:
                return False
            value: Any = orjson.loads(read_below(self.root, self.run_id, "run.json", most=MANIFEST_BYTES))
        except (NotThere, orjson.JSONDecodeError):
            return False
        self._manifest_seen = seen
        self.manifest = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        return True

    @property
    def state(self) -> str:
        """running, paused, stopped (no end in the log and nothing written for long), or why the last segment ended."""
        if self.totals.segment.reason is not None:
            return self.totals.segment.reason
        if self.totals.still:
            return "stopped"
        return "paused" if self.totals.paused else "running"

    def line(self) -> RunLine:
        """As `podium-analysis list` has it."""
        totals = self.totals
        ended = totals.ended.values()
        right = sum(end.get("correct") is True and end.get("status") == "done" for end in ended)
        known = [end["cost_usd"] for end in ended if end.get("cost_usd") is not None]
        n = max(totals.n_tasks or 0, len(ended))
        return RunLine(
            run_id=self.run_id,
            state=self.state,
            n_ended=len(ended),
            n_tasks=totals.n_tasks,
            accuracy=100 * right / n if ended else None,
            usd=sum(known) if known else None,
            age_s=max(0.0, self.wall() - self.touched_s),
        )
