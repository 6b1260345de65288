"""All runs of the folder: each one's line, and those that are followed."""

import threading
import time
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from podium_analysis.load.run_list import STILL_S, RunLine, describe_run

from podium_live.files import LOG, NotThere, run_folder, run_names
from podium_live.follow.follower import Follower

FOLLOWED: Final = 16
"""Runs whose counts are kept in memory; the one not looked at for longest is read anew when asked for."""


class Runs:
    """Every method may be called from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._followers: OrderedDict[str, tuple[Follower, threading.Lock]] = OrderedDict()
        self._lines: dict[str, tuple[tuple[int, int], RunLine]] = {}

    @contextmanager
    def followed(self, run_id: str) -> Generator[Follower]:
        """The run, read on to now; no other thread has it meanwhile.

        Raises:
            NotThere: there is no such run.
        """
        run_folder(self.root, run_id)
        with self._lock:
            pair = self._followers.pop(run_id, None) or (Follower(self.root, run_id), threading.Lock())
            self._followers[run_id] = pair
            while len(self._followers) > FOLLOWED:
                self._followers.popitem(last=False)
        follower, lock = pair
        with lock:
            follower.look()
            yield follower

    def lines(self) -> list[RunLine]:
        """Every run, the one written last first. Logs that stand still are read once, those that grow are followed."""
        now = time.time()
        found: list[RunLine] = []
        for run_id in run_names(self.root):
            try:
                state = (self.root / run_id / LOG).lstat()
                if now - state.st_mtime < STILL_S:
                    with self.followed(run_id) as follower:
                        found.append(follower.line())
                    continue
                mark = (state.st_mtime_ns, state.st_size)
                known = self._lines.get(run_id)
                if known is None or known[0] != mark:
                    known = (mark, describe_run(self.root / run_id, now))
                    self._lines[run_id] = known
                found.append(replace(known[1], age_s=max(0.0, now - state.st_mtime)))
            except (OSError, NotThere, ValueError):
                continue  # it went while it was looked at
        return sorted(found, key=lambda line: line.age_s)
