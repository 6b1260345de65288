"""podium-analysis report, as a person calls it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from podium_analysis.__main__ import COMMANDS, main
from podium_analysis.settings import AnalysisSettings
from podium_contracts.events import Event, RunStart

MakeLog = Callable[[list[Event | bytes]], Path]
START = RunStart(
    run_id="r",
    protocol="hle",
    concurrency=2,
    max_rounds=9,
    n_tasks=3,
    n_finished=0,
    dataset_sha256="",
    orchestrator_model="o",
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No .env and no setting of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in AnalysisSettings.__struct_fields__:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def runs(generated_run: Path, tmp_path: Path) -> Path:
    """A RUNS_DIR with two runs."""
    folder = tmp_path / "runs"
    for name in ("first", "second"):
        shutil.copytree(generated_run, folder / name)
        manifest = json.loads((folder / name / "run.json").read_text())
        (folder / name / "run.json").write_text(json.dumps(manifest | {"run_id": name}))
    return folder


def test_one_command_writes_statistics_figures_report_and_trace(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--run", "second", "--runs-dir", str(runs), "--formats", "svg", "--bins", "5"]) == 0
    out = runs / "second" / "analysis"
    stats = json.loads((out / "stats.json").read_text())
    assert stats["run_id"] == "second"
    assert len(stats["metrics"]["search_ms"]["histograms"]["linear"]["counts"]) == 5
    assert (out / "search_ms_linear.svg").exists()
    assert (out / "search_ms_log.svg").exists()
    assert not list(out.glob("*.png"))
    assert "<title>second" in (out / "report.html").read_text()
    assert json.loads((out / "trace.json").read_text())
    assert not (runs / "first" / "analysis").exists()
    said = capsys.readouterr().out
    share = stats["accounting"]["unexplained_share"]["p50"]
    assert f"unexplained share of a task's wall time: median {100 * share:.2f} %" in said
    assert "Log vs. vLLM counters over" in said
    assert f"({stats['scores']['n_right']} of {stats['scores']['n']}), ±" in said
    assert "2 segments" in said
    assert (out / "tables" / "metrics.tex").is_file()
    assert 'href="tables/metrics.tex"' in (out / "report.html").read_text()


def test_settings_name_the_run_and_options_override_them(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNS_DIR", str(runs))
    monkeypatch.setenv("RUN_ID", "first")
    monkeypatch.setenv("ANALYSIS_BINS", "3")
    assert main(["report", "--stats-only", "--out", str(tmp_path / "a")]) == 0
    stats = json.loads((tmp_path / "a" / "stats.json").read_text())
    assert stats["run_id"] == "first"
    assert len(stats["metrics"]["task_duration_ms"]["histograms"]["log"]["counts"]) == 3
    assert main(["report", str(runs / "second"), "--stats-only", "--out", str(tmp_path / "b")]) == 0
    assert json.loads((tmp_path / "b" / "stats.json").read_text())["run_id"] == "second"


def test_all_runs_go_each_into_their_own_folder(runs: Path) -> None:
    assert main(["report", "--all-runs", "--runs-dir", str(runs), "--stats-only"]) == 0
    for name in ("first", "second"):
        assert json.loads((runs / name / "analysis" / "stats.json").read_text())["run_id"] == name


def test_bad_lines_are_printed_without_failing_the_command(
    make_log: MakeLog, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_log([START, b"not json\n", b'{"type": "llm_ca'])
    assert main(["report", str(folder), "--stats-only"]) == 0
    said = capsys.readouterr().out
    assert "2 bad line(s) left out:" in said
    assert "line 2: no JSON" in said
    assert "line 3: the last line is cut off" in said
    assert "still running, or stopped hard" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "--run", "none", "--runs-dir", "."], "no run 'none'"),
        (["report", "--runs-dir", "."], "RUNS_DIR"),
        (["report", "--all-runs", "--runs-dir", "."], "no run in"),
        (["report", "--bins", "0"], "ANALYSIS_BINS"),
        (["report", "--formats", "gif"], "ANALYSIS_FORMATS"),
    ],
)
def test_mistakes_are_named_and_exit_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_the_process_prints_all_and_exits_as_main(runs: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "podium_analysis", "report", str(runs / "first"), "-o", str(tmp_path / "out")]
    ended = subprocess.run([*command, "--stats-only"], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == f"wrote {tmp_path / 'out' / 'stats.json'}"
    (tmp_path / "out" / "trajectories" / "0001.js").mkdir(parents=True)
    # It fails while figures are drawn. A drawing process left behind would hold the pipe open beyond the time limit.
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "0001.js" in ended.stderr


def test_a_newer_log_is_refused(make_log: MakeLog, capsys: pytest.CaptureFixture[str]) -> None:
    newer = replace(START, schema_version=99)
    assert main(["report", str(make_log([newer]))]) == 2
    assert "schema version 99" in capsys.readouterr().err


def test_a_long_log_gets_no_trace_by_itself(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANALYSIS_TRACE_EVENTS", "10")
    monkeypatch.setattr("podium_analysis.figures.draw._jobs", lambda *_: [])  # the figures have tests of their own
    assert main(["report", str(runs / "first")]) == 0
    assert not (runs / "first" / "analysis" / "trace.json").exists()
    assert "ANALYSIS_TRACE_EVENTS=10" in capsys.readouterr().out


def test_every_command_registers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize(
    ("volume", "last"),
    [("runs", "`make analyze` copies the volume runs to ./runs"), ("./mine", "to see it, open ./mine/")],
)
def test_in_a_container_the_last_line_shows_where(
    volume: str, last: str, generated_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNS_VOLUME", volume)
    assert main(["report", str(generated_run), "--no-trace"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert last in line
    assert line.endswith(f"{generated_run.name}/analysis/report.html")
