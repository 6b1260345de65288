"""What a page shows of samples, limits, breakers and a run that was stopped hard."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podium_analysis.load.run_list import STILL_S
from podium_live.follow.follower import Follower
from podium_live.follow.view import snapshot

MakeRun = Callable[..., Path]


def without_end(run: Path, *events: dict[str, Any]) -> None:
    """Take the log's end away and write further events behind it."""
    log = run / "events.jsonl"
    lines = [line for line in log.read_text().splitlines() if '"run_end"' not in line]
    log.write_text("\n".join([*lines, *(json.dumps(event) for event in events)]) + "\n")


def shown(run: Path) -> dict[str, Any]:
    follower = Follower(run.parent, run.name)
    follower.look()
    return snapshot(follower, controls=True)


def table(snap: dict[str, Any], id: str) -> list[list[str]]:
    return next([[cell["text"] for cell in row] for row in t["rows"]] for t in snap["tables"] if t["id"] == id)


def test_replicas_and_gpus_are_those_of_the_newest_sample(make_run: MakeRun) -> None:
    run = make_run(n=3)
    without_end(run)
    gpu = {"index": 0, "uuid": "u", "name": "H100", "util_pct": 40, "memory_used_mib": 70_000, "power_w": 512.5}
    vllm = {"running": 9, "waiting": 2, "kv_use": 0.5}
    sample = {"vllm": vllm, "replicas": {"http://a": vllm, "http://b": None}}
    sample["gpus"] = [{**gpu, "sm_mhz": 1980}, {"index": 1, "name": "H100", "util_pct": 20}]
    (run / "samples.jsonl").write_text(json.dumps({"vllm": None}) + "\n" + json.dumps(sample) + "\n")
    snap = shown(run)
    assert table(snap, "replicas") == [["http://a", "9", "2", "50.0 %"], ["http://b", "–", "–", "–"]]
    assert table(snap, "gpus") == [
        ["0: H100", "40", "512", "70,000", "1,980"],
        ["1: H100", "20", "–", "–", "–"],
    ]
    facts = {fact["label"]: (fact["value"], fact["detail"]) for fact in snap["facts"]}
    assert facts["GPUs"] == ("30 %", "512 W together")
    assert facts["vLLM"] == ("9 running", "2 waiting; KV 50.0 %")


def test_limits_breakers_and_pauses_show_their_newest_state(make_run: MakeRun) -> None:
    run = make_run(n=3)
    limit = {"type": "limit", "provider": "together", "in_flight": 3}
    breaker = {"type": "breaker", "service": "retrieval", "waiting": 1}
    without_end(
        run,
        {**limit, "limit": 8, "previous": 16, "reason": "429"},
        {**limit, "limit": 4, "previous": 8, "reason": "429 again"},
        {**breaker, "state": "open", "reason": "down"},
        {**breaker, "state": "half_open", "reason": "probe"},
        {"type": "control", "act": "concurrency", "value": 3, "source": "page"},
        {"type": "control", "act": "pause", "source": "page"},
    )
    snap = shown(run)
    assert table(snap, "limits") == [["together", "4", "8", "429 again"]]
    assert table(snap, "breakers") == [["retrieval", "half_open", "probe"]]
    assert snap["state"] == "paused"
    assert snap["controls"] is True
    assert "3 at once at most" in str(snap["facts"])


def test_a_run_stopped_hard_stands_still(make_run: MakeRun) -> None:
    run = make_run(n=3)
    without_end(run)
    past = time.time() - 2 * STILL_S
    os.utime(run / "events.jsonl", (past, past))
    snap = shown(run)
    assert (snap["state"], snap["controls"]) == ("stopped", False)
    assert any(fact["label"] == "This start ran for" for fact in snap["facts"])


def test_the_score_so_far_is_of_what_ended(make_run: MakeRun) -> None:
    run = make_run(n=10)
    log = run / "events.jsonl"
    lines = log.read_text().splitlines()
    ends = [at for at, line in enumerate(lines) if '"task_complete"' in line]
    log.write_text("\n".join(lines[: ends[3] + 1]) + "\n")
    right = sum('"correct":true' in lines[at].replace(" ", "") for at in ends[:4])
    details = shown(run)["score"]["details"]
    assert details[0].startswith(f"So far {25 * right:.1f} % of the 4 that ended, 95 % interval")
