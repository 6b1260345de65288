"""What is followed piece by piece is what the report says of the whole."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.load.run_list import STILL_S, describe_run
from podium_analysis.stats.compute import Stats, compute_stats
from podium_live.files import NotThere
from podium_live.follow.follower import Follower
from podium_live.follow.view import snapshot

MakeRun = Callable[..., Path]


def stats_of(run: Path) -> Stats:
    with load_run(run) as data:
        return compute_stats(data)


def followed(run: Path) -> Follower:
    follower = Follower(run.parent, run.name)
    follower.look()
    return follower


def test_score_time_cost_and_counts_are_the_reports(make_run: MakeRun) -> None:
    run = make_run(n=60)
    stats, follower = stats_of(run), followed(run)
    score = follower.totals.score()
    assert score is not None
    assert stats.scores is not None
    for name, value in msgspec.structs.asdict(score).items():
        assert value == getattr(stats.scores, name), name
    assert follower.parts.overall_ms == pytest.approx(stats.time.overall_ms)
    assert follower.totals.spent_usd == pytest.approx(stats.costs.total_usd)
    assert follower.totals.n_events == stats.log.n_events
    assert len(follower.totals.ended) == stats.tasks.n_ended
    errors = {fault.error_type: fault.n for fault in follower.totals.faults.values() if fault.of == "task"}
    assert errors == {one.error_type: one.n for one in stats.errors.tasks}
    shown = [piece["value"] for piece in snapshot(follower, controls=False)["outcomes"]]
    assert sum(int(value) for value in shown) == stats.scores.n


def test_a_log_that_grows_in_any_pieces_gives_the_same(make_run: MakeRun, runs: Path) -> None:
    run = make_run(n=12)
    whole = (run / "events.jsonl").read_bytes()
    growing = runs / "growing"
    growing.mkdir()
    log = growing / "events.jsonl"
    log.touch()
    follower, pieces = Follower(runs, "growing"), random.Random(3)
    place = 0
    while place < len(whole):
        step = pieces.randrange(1, 4000)
        with log.open("ab") as file:
            file.write(whole[place : place + step])
        place += step
        follower.look()
    at_once = followed(run)
    assert follower.totals.n_events == at_once.totals.n_events
    assert follower.parts.overall_ms == pytest.approx(at_once.parts.overall_ms)
    assert follower.order == at_once.order
    assert follower.n_bad == 0


@pytest.mark.parametrize("age_s", [0, 2 * STILL_S])
@pytest.mark.parametrize("lines", [None, 40])
def test_its_line_in_the_list_is_that_of_list(make_run: MakeRun, age_s: float, lines: int | None) -> None:
    run = make_run(n=10)
    log = run / "events.jsonl"
    if lines is not None:
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:lines]))
    written = time.time() - age_s
    os.utime(log, (written, written))
    mine, theirs = followed(run).line(), describe_run(run, time.time())
    assert replace(mine, age_s=0) == replace(theirs, age_s=0)


def test_bad_lines_are_counted_and_the_rest_is_read(make_run: MakeRun) -> None:
    run = make_run(n=5)
    log = run / "events.jsonl"
    good = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*good[:10], b"\xff no json\n", b"[1]\n", b"{}\n", *good[10:]]))
    follower = followed(run)
    assert follower.n_bad == 2
    assert len(follower.totals.ended) == 5
    assert snapshot(follower, controls=False)["n_bad"] == 2


def test_another_log_under_the_name_is_read_anew(make_run: MakeRun) -> None:
    run = make_run(n=8)
    follower = followed(run)
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    (run / "new").write_bytes(lines[0])
    os.replace(run / "new", run / "events.jsonl")
    follower.look()
    assert (len(follower.totals.ended), follower.totals.n_events, follower.order) == (0, 1, [])


def test_a_run_that_is_gone_says_so(make_run: MakeRun) -> None:
    run = make_run(n=2)
    follower = followed(run)
    (run / "events.jsonl").unlink()
    with pytest.raises(NotThere):
        follower.look()


def test_values_of_the_wrong_type_do_not_stop_the_page(make_run: MakeRun) -> None:
    run = make_run(n=3)
    with (run / "events.jsonl").open("a") as log:
        for odd in ('"x"', "null", "[1]", "1e400", "{}"):
            fields = f'"task_id": "q", "step": {odd if odd != "1e400" else 1}, "duration_ms": {odd}, "tool": {odd}'
            log.write(f'{{"type": "tool_call", {fields}, "error_type": {odd}, "error_message": {odd}}}\n')
            log.write(f'{{"type": "limit", "provider": {odd}, "reason": {odd}}}\n')
    shown: dict[str, Any] = snapshot(followed(run), controls=False)
    assert shown["facts"][0]["value"] == "3 of 3"
