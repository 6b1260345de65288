"""A run exported to inspect_ai's log: held against inspect_ai's own reader and viewer where it is installed.

inspect_ai pins libraries that Podium does not, so it lives in an environment of its own:

    python3 -m venv .venv-inspect && .venv-inspect/bin/pip install -r analysis/tests/inspect.lock

or wherever INSPECT_PYTHON says. PODIUM_REQUIRE=inspect turns the skip without it into a failure.
"""

import argparse
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api
from podium_analysis.export import inspect_log as inspect_export
from podium_analysis.export.inspect_turn import tool_result
from podium_contracts.records import Turn

OWN_ENVIRONMENT = Path(__file__).parents[3] / ".venv-inspect" / "bin" / "python"
MakeRun = Callable[..., Path]

READER = """
import json, sys
from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries
path = sys.argv[1]
header = read_eval_log(path, header_only=True)
log = read_eval_log(path)
summaries = read_eval_log_sample_summaries(path)
one = read_eval_log_sample(path, id=log.samples[0].id, epoch=log.samples[0].epoch)
print(json.dumps({
    "status": header.status,
    "model": log.eval.model,
    "accuracy": header.results.scores[0].metrics["accuracy"].value,
    "total": header.results.total_samples,
    "usage": {k: v.total_tokens for k, v in header.stats.model_usage.items()},
    "summaries": sorted([s.id, s.epoch] for s in summaries),
    "one": [one.id, one.epoch],
    "samples": [{
        "id": s.id, "epoch": s.epoch, "value": s.scores["podium"].value if s.scores else None,
        "events": [e.event for e in s.events], "roles": [m.role for m in s.messages],
        "error": s.error.message if s.error else None, "limit": s.limit.type if s.limit else None,
        "time": s.total_time, "answer": s.output.completion,
        "model_time": sum(e.working_time or 0 for e in s.events if e.event == "model"),
    } for s in log.samples],
}))
"""


@pytest.fixture(scope="module")
def inspect_python() -> str:
    named = os.environ.get("INSPECT_PYTHON")
    if named:
        return named
    if OWN_ENVIRONMENT.exists():
        return str(OWN_ENVIRONMENT)
    if importlib.util.find_spec("inspect_ai"):
        return sys.executable
    why = f"no inspect_ai: neither here, nor in {OWN_ENVIRONMENT.parts[-3]}, nor in INSPECT_PYTHON"
    if "inspect" in os.environ.get("PODIUM_REQUIRE", "").split(","):
        pytest.fail(why)
    pytest.skip(why)


def export(run: Path, out: Path) -> int:
    parser = argparse.ArgumentParser()
    inspect_export.register(parser.add_subparsers())
    return inspect_export.run(parser.parse_args(["export-inspect", str(run), "-o", str(out)]))


def read_by_inspect(python: str, path: Path, home: Path) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-c", READER, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((run / "tasks").glob("*.json"))]


@pytest.mark.parametrize("ending", ["eval", "json"])
def test_inspects_own_reader_sees_the_run(make_run: MakeRun, tmp_path: Path, inspect_python: str, ending: str) -> None:
    run = make_run(n=40, epochs=2)
    out = tmp_path / f"log.{ending}"
    assert export(run, out) == 0
    seen = read_by_inspect(inspect_python, out, tmp_path)
    wanted = records(run)
    assert seen["status"] == "success"
    assert seen["model"] == "vllm/orchestrator"
    assert seen["total"] == len(wanted) == 80
    assert seen["accuracy"] == pytest.approx(sum(r["correct"] is True for r in wanted) / 80)
    assert seen["usage"]["vllm/orchestrator"] == sum(
        t["prompt_tokens"] + t["completion_tokens"] for r in wanted for t in r["turns"]
    )
    assert seen["summaries"] == sorted([r["task_id"], r["epoch"]] for r in wanted)
    by_key = {(s["id"], s["epoch"]): s for s in seen["samples"]}
    for record in wanted:
        sample = by_key[record["task_id"], record["epoch"]]
        value = {True: "C", False: "I", None: None}[record["correct"]]
        assert sample["value"] == value
        assert (sample["error"] is not None) == (record["status"] == "error")
        assert sample["limit"] == ("turn" if record["ending"] == "round_limit" else None)
        assert sample["events"].count("model") == sample["events"].count("tool") == len(record["turns"])
        assert sample["roles"] == ["user"] + ["assistant", "tool"] * len(record["turns"])
        assert sample["time"] == pytest.approx(record["duration_ms"] / 1000)
        assert sample["model_time"] == pytest.approx(sum(t["orchestrator_ms"] for t in record["turns"]) / 1000)
        if record["answer_text"]:
            assert sample["answer"] == record["answer_text"]


def test_ids_and_texts_that_make_trouble_survive(make_run: MakeRun, tmp_path: Path, inspect_python: str) -> None:
    run = make_run(n=3, hostile="</script> \x00 ünï \U0001f4a5 ../../x")
    paths = sorted((run / "tasks").glob("*.json"))
    paths[0].write_text(json.dumps(json.loads(paths[0].read_text()) | {"task_id": "../../etc/passwd"}))
    for ending in ("eval", "json"):
        out = tmp_path / f"log.{ending}"
        assert export(run, out) == 0
        seen = read_by_inspect(inspect_python, out, tmp_path)
        assert "../../etc/passwd" in [s["id"] for s in seen["samples"]]


@pytest.mark.browser
def test_inspects_own_viewer_shows_the_run(make_run: MakeRun, tmp_path: Path, inspect_python: str) -> None:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is not installed (Debian's package chromium)"
    logs = tmp_path / "logs"
    assert export(make_run(n=8), logs / "run.eval") == 0
    with Viewer(inspect_python, logs, tmp_path) as address, sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/#/logs/run.eval")
        sync_api.expect(page.get_by_text("podium/hle").first).to_be_visible(timeout=30_000)
        sync_api.expect(page.get_by_text("q0003", exact=True).first).to_be_visible(timeout=30_000)
        page.goto(f"{address}/#/logs/run.eval/samples/sample/q0003/1/")
        sync_api.expect(page.get_by_text("turn 1", exact=False).first).to_be_visible(timeout=30_000)
        text = page.inner_text("body").lower()
        assert "question 3" in text
        assert "model call (orchestrator): vllm/orchestrator" in text
        browser.close()
        assert errors == []


class Viewer:
    """inspect_ai's own `inspect view` on a free port of the loopback."""

    def __init__(self, python: str, logs: Path, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [Path(python).with_name("inspect"), "view", "start", "--port", str(self.port), "--log-dir", str(logs)],
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> str:
        address = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                return address
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


def test_the_zip_has_the_members_that_its_reader_wants(make_run: MakeRun, tmp_path: Path) -> None:
    out = tmp_path / "log.eval"
    assert export(make_run(n=4), out) == 0
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        header = json.loads(archive.read("header.json"))
    assert {"header.json", "summaries.json", "_journal/start.json", "samples/q0000_epoch_1.json"} <= set(names)
    assert header["version"] == 2


def test_a_bad_record_is_left_out_and_named(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(n=4)
    broken = next(iter(sorted((run / "tasks").glob("*.json"))))
    broken.write_text('{"record_version": 1')
    assert export(run, tmp_path / "log.json") == 0
    assert broken.name in capsys.readouterr().err
    assert len(json.loads((tmp_path / "log.json").read_text())["samples"]) == 3


def test_another_ending_or_no_run_is_one_clear_line(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(make_run(n=1), tmp_path / "log.txt") == 2
    assert ".eval or .json" in capsys.readouterr().err
    assert export(tmp_path / "none", tmp_path / "log.eval") == 2
    assert list(tmp_path.glob("log.*")) == []


@pytest.mark.parametrize(
    ("turn", "wanted"),
    [
        (
            Turn(step=1, tool="search", status="ok", query="q", documents=[{"id": "d1", "contents": "text"}]),
            "## d1\ntext",
        ),
        (Turn(step=1, tool="enhance_reasoning", status="ok", code="print(1)", stdout="1\n"), "stdout:\n1"),
        (Turn(step=1, tool="enhance_reasoning", status="ok", code="x", exec_status="timeout"), "ended: timeout"),
        (Turn(step=1, tool="answer", status="ok", response="The answer."), "The answer."),
        (Turn(step=1, tool="", status="invalid"), ""),
    ],
)
def test_what_a_tool_brought_as_text(turn: Turn, wanted: str) -> None:
    assert wanted in tool_result(turn)
