"""Frames hold what the log does: as files, as DataFrames, and joined as docs/api.md does it."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import podium_analysis
import pytest
from podium_analysis.__main__ import main
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.run_data import load_run
from podium_analysis.scoring.judges import run_samples
from podium_contracts.events import Event, LlmCall, TaskStart, ToolCall

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_export_writes_every_row(generated_run: Path, tmp_path: Path, form: str) -> None:
    assert main(["export", str(generated_run), f"--{form}", "-o", str(tmp_path / "it's")]) == 0
    files = {path.name: str(path) for path in (tmp_path / "it's").iterdir()}
    assert set(files) == {f"{name}.{form}" for name in ("tasks", "calls", "events")}
    with load_run(generated_run) as run:
        by_type = dict(run.rows("SELECT type, count(*) FROM events GROUP BY type"))
        n = {name: len(getattr(pd, f"read_{form}")(path)) for name, path in files.items()}
        assert n == {
            f"events.{form}": run.n_events,
            f"calls.{form}": by_type["llm_call"] + by_type["tool_call"],
            f"tasks.{form}": 80,
        }


def test_the_frames_agree_with_the_statistics(generated_run: Path) -> None:
    with podium_analysis.load_run(generated_run) as run:
        outcomes = dict(run.tasks.outcome.value_counts())
        assert outcomes == run.statistics.tasks.by_outcome
        assert list(run.tasks.outcome) == [sample.outcome for sample in run_samples(run.data)]
        searches = run.calls[(run.calls.tool == "search") & (run.calls.type == "tool_call")]
        good = searches[searches.status == "ok"].duration_ms
        assert run.stats.loc["search_ms", "n"] == len(good)
        assert run.stats.loc["search_ms", "p95"] == pytest.approx(good.quantile(0.95))
        assert run.events.end_ms.is_monotonic_increasing
        assert run.events.end_ms.max() == pytest.approx(run.data.wall_ms)


def test_a_repeated_step_is_a_turn_of_its_own(make_log: Callable[[list[Event | bytes]], Path]) -> None:
    call = LlmCall(run_id="r", task_id="a", step=1, role="orchestrator", provider="p", model="m", duration_ms=1.0)
    tool = ToolCall(run_id="r", task_id="a", step=1, tool="search", status="ok", duration_ms=1.0, duration_total_ms=1.0)
    start = TaskStart(run_id="r", task_id="a")
    with podium_analysis.load_run(make_log([start, call, tool, start, call, tool])) as run:
        assert list(run.calls.turn) == ["a#1.1.1", "a#1.1.1", "a#1.2.1", "a#1.2.1"]
        assert run.tasks.status.isna().all()


def test_the_documented_example_runs(generated_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example.replace("runs/my-run", str(generated_run)), str(DOCS), "exec"), names)
    assert capsys.readouterr().out.startswith("generated ")
    joined = names["joined"]
    assert len(joined) == len(names["tools"])  # type: ignore[arg-type]


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LoadError, match="no such run folder"):
        podium_analysis.load_run(tmp_path / "nothing")
    assert main(["export", str(tmp_path / "nothing"), "--csv"]) == 2
    assert "nothing" in capsys.readouterr().err
    with pytest.raises(AttributeError, match="save_run"):
        podium_analysis.save_run  # noqa: B018
