"""Checkpoints against a writer that does its work at once: what is kept, cut, removed and begun."""

from collections.abc import Callable
from pathlib import Path

import pytest
from podium_contracts.records import Turn
from podium_eval.episode.task import Progress
from podium_eval.log.redact import Redactor
from podium_eval.run.checkpoint import Checkpoints


class AtOnce:
    """The part of LogWriter that checkpoints use."""

    def put_job(self, job: Callable[[], None]) -> None:
        job()


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, AtOnce(), Redactor())  # type: ignore[arg-type]


def turn(step: int) -> Turn:
    return Turn(step=step, tool="search", status="ok")


def test_a_task_without_a_checkpoint_is_new(checkpoints: Checkpoints) -> None:
    assert checkpoints.load("never") is None


def test_a_missing_cost_is_not_zero_after_a_resume(checkpoints: Checkpoints) -> None:
    checkpoints.append("k", turn(1), Progress(active_ms=5.0, cost_usd=None, n_unpriced=2))
    loaded = checkpoints.load("k")
    assert loaded is not None
    assert (loaded.active_ms, loaded.cost_usd, loaded.n_unpriced) == (5.0, None, 2)


def test_a_first_line_that_was_torn_is_no_checkpoint(checkpoints: Checkpoints, tmp_path: Path) -> None:
    (tmp_path / "k.jsonl").write_bytes(b'{"version":1,"turn":{"step"')
    assert checkpoints.load("k") is None
    checkpoints.append("k", turn(1), Progress())
    loaded = checkpoints.load("k")
    assert loaded is not None
    assert [one.step for one in loaded.turns] == [1]


def test_tasks_do_not_share_a_checkpoint(checkpoints: Checkpoints) -> None:
    checkpoints.append("a", turn(1), Progress())
    checkpoints.append("b", turn(7), Progress())
    loaded = checkpoints.load("a")
    assert loaded is not None
    assert [one.step for one in loaded.turns] == [1]


def test_a_finished_tasks_checkpoint_is_removed(checkpoints: Checkpoints) -> None:
    checkpoints.append("done", turn(1), Progress())
    checkpoints.append("begun", turn(1), Progress())
    assert checkpoints.begun({"done"}) == {"begun"}
    assert checkpoints.load("done") is None


def test_removing_what_is_not_there_is_no_error(checkpoints: Checkpoints) -> None:
    checkpoints.remove("never")
    checkpoints.append("k", turn(1), Progress())
    checkpoints.remove("k")
    assert checkpoints.load("k") is None
