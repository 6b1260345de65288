"""gate: 0 when all limits hold, 1 when one does not or was not measured, 2 when it cannot tell."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.compare import gate
from podium_analysis.compare.gate import BadLimits, Limit, check, look_up, read_limits
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.compute import compute_stats, write_stats
from rich.console import Console

MakeRun = Callable[..., Path]
STATS: dict[str, Any] = {
    "scores": {"accuracy": 31.5, "protocol": "hle"},
    "tasks": {"n_ended": 50, "by_status": {"done": 49, "error": 1}},
    "costs": {"total_usd": None, "at_least": True},
    "accounting": {"unexplained_share": {"p50": 0.004}},
    "metrics": {"orchestrator_prefill_ms": {"n": 10, "p99": 480.5, "p50": float("nan")}},
}


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    gate.register(parser.add_subparsers())
    return parser.parse_args(["gate", *words])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics.orchestrator_prefill_ms.p99", 480.5),
        ("orchestrator_prefill_ms.p99", 480.5),
        ("orchestrator.prefill_ms.p99", 480.5),
        ("score.accuracy", 31.5),
        ("scores.accuracy", 31.5),
        ("unexplained.median", 0.004),
        ("errors.rate", 0.02),
        ("tasks.by_status.error", 1.0),
    ],
)
def test_names(name: str, value: float) -> None:
    assert look_up(STATS, name) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("orchestrator.prefill_ms.p98", "no such name in stats.json: did you mean orchestrator_prefill_ms.p99?"),
        ("orchestrator.prefil_ms.p99", "did you mean orchestrator_prefill_ms.p99?"),
        ("score.acuracy", "did you mean score.accuracy?"),
        ("error.rate", "did you mean errors.rate?"),
        ("metrics", "is no single number"),
        ("zzz", "no such name in stats.json"),
        ("cost.total_usd", "not measured in this run"),
        ("orchestrator.prefill_ms.median", "not finite"),
        ("scores", "no single number"),
        ("score.protocol", "no single number"),
        ("cost.at_least", "no single number"),
    ],
)
def test_what_was_not_measured_does_not_pass(tmp_path: Path, name: str, why: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({name: {"max": 1e9}}))
    (one,) = check(read_limits(path), STATS)
    assert one.verdict == "missing"
    assert why in one.reason


def test_no_task_has_no_error_rate() -> None:
    with pytest.raises(LookupError, match="no task has ended"):
        look_up({"tasks": {"n_ended": 0, "by_status": {}}}, "errors.rate")


def test_bounds_are_inclusive_and_both_may_stand(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(
        '"score.accuracy" = { min = 31.5, max = 31.5 }\n[orchestrator.prefill_ms]\np99 = { max = 480 }\n'
        "[tasks]\nn_ended = { min = 51 }\n"
    )
    assert [one.verdict for one in check(read_limits(path), STATS)] == ["pass", "over", "under"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no limit"),
        ("a = 3", "is no limit"),
        ("a = { max = 'x' }", "no number"),
        ("a = { max = true }", "no number"),
        ("a = { max = inf }", "no number"),
        ("a = { max = 1, maximum = 2 }", "maximum"),
        ("a = {", "limits.toml"),
        ("a = {}", "holds no limit"),
    ],
)
def test_a_bad_limits_file_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(BadLimits, match=why):
        read_limits(path)


def test_the_documented_limits_are_names_of_a_run(make_run: MakeRun, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text()
    limits = tmp_path / "limits.toml"
    limits.write_text(text.split("```toml\n")[1].split("```")[0])
    with load_run(make_run(n=20, accuracy=0.6)) as data:
        write_stats(compute_stats(data), tmp_path / "stats.json")
    checks = check(read_limits(limits), json.loads((tmp_path / "stats.json").read_bytes()))
    assert len(checks) == 4
    assert {one.verdict for one in checks} == {"pass"}, checks


def test_a_crossed_limit_is_said_with_both_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    checks = check([Limit("score.accuracy", 40, None), Limit("tasks.n_ended", None, 30)], STATS)
    gate.print_checks(checks, Console(width=100))
    out = capsys.readouterr().out
    assert "31.5 is below the minimum of 40" in out
    assert "50 is above the maximum of 30" in out


def test_exit_status_and_table(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(n=20)
    limits = tmp_path / "limits.toml"
    limits.write_text('"orchestrator.prefill_ms.p99" = { max = 100 }\n')
    assert gate.run(arguments(str(run), str(limits))) == 2
    assert "podium-analysis report" in capsys.readouterr().err
    with load_run(run) as data:
        write_stats(compute_stats(data), run / "analysis" / "stats.json")
    assert gate.run(arguments(str(run), str(limits))) == 0
    assert "1 of 1 limits hold" in capsys.readouterr().out
    limits.write_text('"orchestrator.prefill_ms.p99" = { max = 1 }\n"no.such.metric" = { max = 1 }\n')
    assert gate.run(arguments(str(run), str(limits))) == 1
    out = capsys.readouterr().out
    assert out.count("FAIL") == 2
    assert "is above the maximum of 1" in out
    assert "0 of 2 limits hold" in out
    assert gate.run(arguments(str(run), str(tmp_path / "none.toml"))) == 2
