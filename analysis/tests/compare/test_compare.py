"""compare pairs two runs, says what moved, and refuses what does not measure the same thing."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.compare import compare
from podium_analysis.compare.comparison import Comparison, NotComparable, compare_runs
from podium_analysis.compare.differences import setting_rows

MakeRun = Callable[..., Path]


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    compare.register(parser.add_subparsers())
    return parser.parse_args(["compare", *words])


def pair_of(a: Path, b: Path) -> Comparison:
    return compare_runs([a, b]).pairs[0]


def rewrite(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((run / "run.json").read_text())
    change(manifest)
    (run / "run.json").write_text(json.dumps(manifest))


def test_a_run_against_itself_has_moved_nowhere(make_run: MakeRun) -> None:
    run = make_run(n=40)
    result = pair_of(run, run)
    assert result.score is not None
    assert (result.score.only_a, result.score.only_b, result.score.p_value) == (0, 0, 1.0)
    assert result.flips == []
    assert result.mismatches == []
    assert all(s.difference is None or s.difference.value == 0 for s in result.shifts)


def test_counts_are_those_of_the_records(make_run: MakeRun) -> None:
    a, b = make_run("a", n=80), make_run("b", n=80, seed=2, accuracy=0.7)

    def verdicts(run: Path) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for path in (run / "tasks").glob("*.json"):
            record = json.loads(path.read_text())
            if record["status"] == "done" and (record["ending"] != "answered" or record["correct"] is not None):
                found[record["task_id"]] = record["correct"] is True
        return found

    left, right = verdicts(a), verdicts(b)
    both = sorted(left.keys() & right.keys())
    result = pair_of(a, b)
    assert result.score is not None
    assert result.score.n == len(both)
    assert result.not_graded == 80 - len(both)
    assert result.score.only_a == sum(left[k] and not right[k] for k in both)
    assert result.score.only_b == sum(right[k] and not left[k] for k in both)
    assert {(f.task_id, f.after == "right") for f in result.flips} == {
        (k, right[k]) for k in both if left[k] != right[k]
    }


def test_a_slower_server_shows_where_and_nowhere_else(make_run: MakeRun) -> None:
    result = pair_of(make_run("a", n=150), make_run("b", n=150, slower=1.5))
    shifts = {s.name: s for s in result.shifts}
    prefill = shifts["orchestrator.prefill"].ratio
    assert prefill is not None
    assert prefill.low is not None
    assert prefill.high is not None
    assert prefill.low > 1.3
    assert prefill.value == pytest.approx(1.5, rel=0.1)
    rounds = shifts["task.rounds"].difference
    assert rounds is not None
    assert not rounds.excludes_zero


def test_a_step_tried_again_counts_once(make_run: MakeRun) -> None:
    """Resume repeats the turns in flight; their first try is not this task's time."""
    a, b = make_run("a", n=10), make_run("b", n=10)
    lines = (b / "events.jsonl").read_text().splitlines()
    calls = [line for line in lines if json.loads(line)["type"] in ("llm_call", "tool_call")]
    (b / "events.jsonl").write_text("\n".join([lines[0], *calls, *lines[1:]]) + "\n")
    assert all(s.difference is None or s.difference.value == 0 for s in pair_of(a, b).shifts)


def test_epochs_are_paired_with_their_own_epoch(make_run: MakeRun) -> None:
    result = pair_of(make_run("a", n=20, epochs=3), make_run("b", n=20, epochs=3, seed=4))
    assert result.n_shared == 60
    assert result.score is not None
    assert result.score.test.startswith("sign-flip")


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("protocol", {"protocol": "toolorchestra"}),
        ("dataset sha256", {"dataset": {"path": "x", "sha256": "e" * 64, "n": 5, "n_selected": 5}}),
    ],
)
def test_other_questions_or_grading_are_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], what: str, change: dict[str, Any]
) -> None:
    a, b = make_run("a", n=5), make_run("b", n=5)
    rewrite(b, lambda manifest: manifest.update(change))
    with pytest.raises(NotComparable, match=what):
        pair_of(a, b)
    assert compare.run(arguments(str(a), str(b))) == 2
    assert "--anyway" in capsys.readouterr().err
    assert compare.run(arguments(str(a), str(b), "--anyway")) == 0
    assert "NOT COMPARABLE" in capsys.readouterr().out


def test_other_prompts_and_judges_are_marked(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_run("a", n=5), make_run("b", n=5)
    rewrite(b, lambda m: m["prompts"].update({"judge.md": "f" * 64}))
    rewrite(b, lambda m: m["judge"].update({"model": "another"}))
    assert compare.run(arguments(str(a), str(b))) == 0
    out = capsys.readouterr().out
    assert "prompt judge.md differs" in out
    assert "judge differs: vllm/judge-model in A, vllm/another in B" in out


def test_runs_that_share_no_task_are_refused(make_run: MakeRun) -> None:
    a, b = make_run("a", n=3), make_run("b", n=3)
    log = b / "events.jsonl"
    log.write_text(log.read_text().replace('"q0', '"z0'))
    with pytest.raises(NotComparable, match="no finished task in common"):
        pair_of(a, b)


def test_a_missing_run_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.run(arguments(str(tmp_path / "none"), str(tmp_path / "none"))) == 2
    assert capsys.readouterr().err.startswith("podium-analysis compare: ")


def test_rejudged_records_count_by_their_last_verdict(make_run: MakeRun) -> None:
    a, b = make_run("a", n=12, accuracy=0.0), make_run("b", n=12, accuracy=0.0)
    for path in (b / "tasks").glob("*.json"):
        record = json.loads(path.read_text())
        if record["correct"] is False and record["ending"] == "answered":
            path.write_text(json.dumps(record | {"correct": True}))
    result = pair_of(a, b)
    assert result.score is not None
    assert (result.score.only_a, result.score.both) == (0, 0)
    assert result.score.only_b == len(result.flips) > 5


def test_the_page_shows_the_same_and_escapes_what_models_wrote(make_run: MakeRun, tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    a, b = make_run("a", n=30, hostile=hostile), make_run("b", n=30, seed=9, hostile=hostile)
    target = tmp_path / "out" / "compare.html"
    assert compare.run(arguments(str(a), str(b), "--html", str(target))) == 0
    html = target.read_text()
    assert "McNemar exact" in html
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_every_setting_that_differs_is_shown(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_run("a", n=5), make_run("b", n=5)
    long = "x" * 400
    rewrite(
        a, lambda m: m["settings"].update(orchestrator_temperature=0.0, tools_file=f"{long}/a", run_id="a", only_a=1)
    )
    rewrite(b, lambda m: m["settings"].update(orchestrator_temperature=0.7, tools_file=f"{long}/b", run_id="b"))
    assert compare.run(arguments(str(a), str(b))) == 0
    out = capsys.readouterr().out
    assert "ORCHESTRATOR_TEMPERATURE  0.0 → 0.7" in out
    assert "ONLY_A  1 → not set" in out
    assert "".join(out.split()).count(f"{long}/a→{long}/b") == 1
    assert "RUN_ID" not in out
    assert "CONCURRENCY" not in out


@pytest.mark.parametrize(
    ("secrets", "values", "shown"),
    [
        (({"key": "1f"}, {"key": "1f"}), ("**********", "**********"), []),
        (({"key": "1f"}, {"key": "2e"}), ("**********", "**********"), ["set", "set, another value"]),
        (({}, {"key": "2e"}), (None, "**********"), ["not set", "set"]),
        (({}, {}), ("**********", "**********"), []),
    ],
)
def test_a_secret_shows_as_changed_or_not(
    secrets: tuple[dict[str, str], ...], values: tuple[str | None, ...], shown: list[str]
) -> None:
    rows = setting_rows([{"settings": {"key": v}, "secrets": s} for v, s in zip(values, secrets, strict=True)])
    assert [list(row.values) for row in rows] == ([shown] if shown else [])


def test_three_runs_stand_against_the_first(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run("a", n=30), make_run("b", n=30, slower=1.5), make_run("c", n=30, seed=4, accuracy=0.9)]
    rewrite(runs[2], lambda m: m["settings"].update(max_rounds=9))
    target = tmp_path / "compare.html"
    assert compare.run(arguments(*map(str, runs), "--html", str(target))) == 0
    out = capsys.readouterr().out
    assert "A a   B b   C c" in out
    assert "MAX_ROUNDS  50 → 50 → 9" in out
    assert "Accuracy against A" in out
    assert "Flipped tasks from A to C" in out
    both = compare_runs(runs).pairs
    assert both[1] == pair_of(runs[0], runs[2])
    assert all(name in target.read_text() for name in ("MAX_ROUNDS", "Flipped tasks from A to B", "C / A"))


def test_each_category_is_compared_over_its_own_pairs(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_run("a", n=50), make_run("b", n=50, seed=3, accuracy=0.8)
    pair = pair_of(a, b)
    assert pair.score is not None
    assert list(pair.cuts) == ["category", "subject", "answer type", "class", "image"]
    for values in pair.cuts.values():
        assert sum(score.n for _, score in values) == pair.score.n
        assert sum(score.only_b for _, score in values) == pair.score.only_b
    assert len(pair.cuts["category"]) == 5
    assert compare.run(arguments(str(a), str(b))) == 0
    out = capsys.readouterr().out
    assert all(name in out for name, _ in pair.cuts["category"])
    several = [cut for cut, values in pair.cuts.items() if len(values) > 1]
    assert all(f"Accuracy by {cut}" in out for cut in several)


def test_more_runs_than_letters_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.run(arguments(*[str(tmp_path)] * 27)) == 2
    assert "at most 26" in capsys.readouterr().err
