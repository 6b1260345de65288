import json
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.scoring.judges import judge_scores, n_tasks, run_repeats, run_samples, run_score
from podium_contracts.events import Event, RunStart, TaskComplete, event_to_json
from podium_contracts.records import Judgement, TaskRecord


def judgement(correct: bool | None, judge: str | None = "openai/o3", protocol: str = "hle", **fields: Any) -> Judgement:
    return Judgement(
        protocol=protocol,  # type: ignore[arg-type]
        judge=judge,
        model=None if judge is None else judge.partition("/")[2] + "-dated",
        method=fields.pop("method", "model"),
        correct=correct,
        prompt_hash=None if judge is None else "p" * 64,
        ts="2026-11-22T12:00:00.000Z",
        **fields,
    )


def record(task: str, *judgements: Judgement, **fields: Any) -> TaskRecord:
    first = judgements[0].correct if judgements else None
    values: dict[str, Any] = {
        "run_id": "r",
        "key": task,
        "task_id": task,
        "eid": 0,
        "question": "Q",
        "gold_answer": "A",
        "status": "done",
        "ending": "answered",
        "correct": first,
        "judgements": list(judgements),
        "rounds": 1,
        "started_ts": "",
        "finished_ts": "",
        "duration_ms": 1.0,
    }
    return TaskRecord(**{**values, **fields})


def test_two_judges_over_the_same_answers():
    other = "vllm/small"
    records = [
        record("a", judgement(True, confidence=90.0), judgement(True, other)),
        record("b", judgement(False, confidence=90.0), judgement(True, other)),
        record("c", judgement(False), judgement(False, other)),
        record("d", judgement(True), judgement(None, other, error_type="judge_error")),
        record("e", ending="round_limit", correct=False),
        record("f", ending="error", status="error", correct=None),
    ]
    own, second = judge_scores(records, n_total=7)
    assert (own.name.judge, own.against_own) == ("openai/o3", None)
    assert (own.score.n_right, own.score.n_wrong, own.score.n_unanswered, own.score.n_error) == (2, 2, 1, 1)
    assert (own.score.n, own.score.n_missing, own.score.n_confidence) == (7, 1, 2)
    assert (second.score.n_right, second.score.n_ungraded) == (2, 1)
    assert second.against_own is not None
    assert (second.against_own.n, second.against_own.n_missing, second.against_own.only_second) == (3, 1, 1)


def test_the_same_judge_again_fills_its_gap():
    (only,) = judge_scores(
        [
            record("a", judgement(None, error_type="judge_error"), judgement(True)),
            record("b", judgement(True), judgement(None, error_type="judge_error")),
        ]
    )
    assert (only.score.n_right, only.score.n_ungraded) == (2, 0)


def test_exact_matches_belong_to_every_judge_of_their_protocol():
    exact = judgement(True, None, "toolorchestra", method="exact_match")
    none_found = judgement(False, None, "toolorchestra", method="unanswered")
    records = [
        record("a", exact, judgement(True, "openai/o3", "hle")),
        record("b", none_found, judgement(False, "openai/o3", "hle")),
        record("c", judgement(False, "openai/gpt-5", "toolorchestra"), judgement(True, "openai/o3", "hle")),
    ]
    own, second = judge_scores(records)
    assert (own.name.protocol, own.name.judge) == ("toolorchestra", "openai/gpt-5")
    assert (own.score.n_right, own.score.n_wrong, own.score.n_unanswered) == (1, 1, 1)
    assert (second.name.protocol, second.score.n_right, second.score.n_wrong) == ("hle", 2, 1)
    assert second.against_own is not None
    assert (second.against_own.n, second.against_own.only_second) == (3, 1)


def test_a_run_of_exact_matches_alone_has_a_score():
    (only,) = judge_scores([record("a", judgement(True, None, "toolorchestra", method="exact_match"))])
    assert (only.name.judge, only.score.accuracy) == (None, 100.0)
    assert str(only.name) == "no model (toolorchestra)"
    assert (only.usd, only.n_unpriced) == (None, 0)


def test_a_judges_cost_is_of_its_priced_judgements():
    records = [record("a", judgement(True, cost_usd=0.5)), record("b", judgement(True, cost_usd=None))]
    (only,) = judge_scores(records)
    assert (only.usd, only.n_unpriced) == (0.5, 1)


def write(folder: Path, *events: Event, **manifest: Any) -> Path:
    folder.mkdir()
    lines = [{"ts": "t", "level": "INFO", "mono_ms": float(i), **event_to_json(e)} for i, e in enumerate(events)]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def start(n: int) -> RunStart:
    return RunStart(
        run_id="r",
        protocol="hle",
        concurrency=1,
        max_rounds=50,
        n_tasks=n,
        n_finished=0,
        dataset_sha256="0",
        orchestrator_model="o",
    )


def complete(task: str, correct: bool | None, epoch: int = 1, ending: str = "answered") -> TaskComplete:
    return TaskComplete(
        run_id="r",
        task_id=task,
        epoch=epoch,
        status="done" if correct is not None else "error",
        ending=ending,  # type: ignore[arg-type]
        correct=correct,
        confidence=80.0 if ending == "answered" and correct is not None else None,
        rounds=1,
        duration_ms=1.0,
    )


def test_a_runs_score_is_by_each_tasks_last_ending(tmp_path: Path):
    events = [start(4), complete("a", None, ending="error"), complete("b", False), complete("a", True)]
    with load_run(write(tmp_path / "r", *events, complete("c", False, ending="round_limit"))) as run:
        assert n_tasks(run) == 4
        got = run_score(run)
        assert (got.n, got.n_right, got.n_wrong, got.n_unanswered, got.n_missing) == (4, 1, 1, 1, 1)
        assert got.accuracy == 25.0
        assert run_repeats(run) is None


def test_epochs_give_repeats(tmp_path: Path):
    events = [start(4), *(complete(t, t == "a" or e == 2, e) for t in "ab" for e in (1, 2))]
    with load_run(write(tmp_path / "r", *events, epochs=2)) as run:
        got = run_repeats(run)
        assert got is not None
        assert (got.n_questions, got.accuracies) == (2, (50.0, 100.0))
        assert [p.value for p in got.pass_at_k] == [75.0, 100.0]
        assert len(run_samples(run)) == 4


@pytest.mark.parametrize("n", [1, 3])
def test_an_unfinished_log_without_run_start_counts_what_it_has(tmp_path: Path, n: int):
    with load_run(write(tmp_path / "r", *(complete(f"t{i}", True) for i in range(n)))) as run:
        assert n_tasks(run) is None
        assert (run_score(run).n, run_score(run).accuracy) == (n, 100.0)
