"""The machine's clock may be set while a run is on: nothing that is a duration, an order or a wait may follow it."""

import ast
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import podium_eval
import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval, assert_whole

PACKAGE = Path(podium_eval.__file__).parent
WALL = {"time.time", "time.time_ns", "time.gmtime", "time.localtime", "datetime.now", "datetime.utcnow", "date.today"}
ALLOWED = Counter(
    {
        "clock.py": 1,  # SystemClock.wall, the stamps
        "run/folder.py": 1,  # who holds the lock since when, for people
        "log/writer.py": 1,  # how stdlib's formatter writes a stamp
    }
)


def wall_clock_reads(path: Path) -> int:
    """How often a module names the machine's clock, as a call or as a value."""
    tree = ast.parse(path.read_text())
    return sum(ast.unparse(node) in WALL for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def test_the_machines_clock_is_read_for_stamps_alone() -> None:
    found = Counter({str(p.relative_to(PACKAGE)): n for p in PACKAGE.rglob("*.py") if (n := wall_clock_reads(p))})
    assert found == ALLOWED


STEPPED_IN_PYTHON = (
    "import itertools, runpy, time\n"
    "real, looks = time.time, itertools.count()\n"
    "def stepping():\n"
    "    n = next(looks)\n"
    "    return real() + (0 if n < 40 else -3600 if n < 80 else 7200)\n"
    "time.time = stepping\n"
    "runpy.run_module('podium_eval', run_name='__main__', alter_sys=True)\n"
)
"""time.time of the process is set back an hour at its 40th look, and three on at its 80th."""


def assert_timed_as_ever(run: Eval) -> None:
    events = run.events()
    stamps = [event["ts"] for event in events]
    assert stamps != sorted(stamps), "the clock was not set back"
    mono = [event["mono_ms"] for event in events]
    assert mono == sorted(mono)
    for event in events:
        for name in ("duration_ms", "duration_total_ms", "wait_ms"):
            assert 0 <= event.get(name, 0) < 60_000
    assert all(0 < record.duration_ms < 60_000 for record in run.records().values())


async def test_setting_the_clock_changes_no_duration(tmp_path: Path) -> None:
    ids = numbered(10)
    async with server(latency_s=0.01) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4)
        assert await run.run(source=STEPPED_IN_PYTHON) == 0, run.said
    assert_whole(run, ids)
    assert_timed_as_ever(run)


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """A library that stands before libc's clock."""
    if shutil.which("cc") is None:
        pytest.skip("a C compiler makes the clock that steps, and there is none")
    source, made = Path(__file__).parent / "harness" / "stepped_clock.c", tmp_path / "stepped_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


async def test_a_clock_that_steps_below_python_changes_no_duration(shim: Path, tmp_path: Path) -> None:
    """Every library of the process sees the step, not Python alone."""
    step = tmp_path / "step"
    ids = numbered(60)
    async with server(latency_s=0.03) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4, task_timeout_s=30)
        await run.start(env={"LD_PRELOAD": str(shim), "STEPPED_CLOCK": str(step)})
        await stub.arrived(60)
        step.write_text("-3600")
        await stub.arrived(150)
        step.write_text("7200")
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)
    assert_timed_as_ever(run)
    hours = {event["ts"][:13] for event in run.events()}
    assert len(hours) >= 3, "the two steps are in the log's stamps"
