"""services/local/profile: in the background, one at a time, with its settings, free again at the end."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the script, and a podium-local on PATH that says what it was given and waits for a file."""
    folder = tmp_path / "clone" / "services" / "local"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "services" / "local" / "profile", folder)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "podium-local"
    command.write_text(
        '#!/bin/sh\necho "given: $* RUN_ID=$RUN_ID CONCURRENCY=$CONCURRENCY MONITOR=$MONITOR"\n'
        f'while [ ! -e "{tmp_path}/end" ]; do sleep 0.05; done\n'
    )
    command.chmod(0o755)
    return tmp_path / "clone"


@pytest.fixture
def docker(clone: Path) -> Path:
    """A docker on PATH that writes down what it is told. eval is on while `on` is there; `exit` holds its status."""
    told, bin_ = clone.parent / "told", clone.parent / "bin" / "docker"
    bin_.write_text(
        f'#!/bin/sh\ncase "$*" in *" ps "*) [ -e "{clone.parent}/on" ] && echo 0123; exit 0;; esac\n'
        f'echo "$* RUN_ID=$RUN_ID CONCURRENCY=$CONCURRENCY MONITOR=$MONITOR PROGRESS=$PROGRESS" >> "{told}"\n'
        f'case "$*" in *" up "*) exit "$(cat "{clone.parent}/exit")";; esac\n'
    )
    bin_.chmod(0o755)
    return told


def profile(clone: Path, mode: str = "local", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{clone.parent}/bin:{os.environ['PATH']}", **variables}
    return subprocess.run(
        [clone / "services" / "local" / "profile", mode, *(["--embedded"] if mode == "local" else [])],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{text!r} did not come to {path}"
        time.sleep(0.02)


@pytest.mark.parametrize("status", ["0", "1"])
def test_the_analysis_runs_by_itself_when_the_run_has_ended(clone: Path, docker: Path, status: str) -> None:
    (clone.parent / "exit").write_text(status)
    began = profile(clone, "compose", RUN_ID="night")
    assert began.returncode == 0, began.stderr
    assert "tail -f /runs/night/monitor.out" in began.stdout
    wait_for(docker, "analysis")
    run, report = docker.read_text().splitlines()
    assert run.startswith("compose up --build --exit-code-from eval eval RUN_ID=night CONCURRENCY=512 MONITOR=true")
    assert run.endswith("PROGRESS=lines")
    assert report.startswith("compose run --rm analysis report --run night ")


def test_a_run_that_could_not_start_is_not_analysed(clone: Path, docker: Path) -> None:
    (clone.parent / "exit").write_text("2")
    assert profile(clone, "compose", RUN_ID="wrong").returncode == 0
    wait_for(docker, " up ")
    (clone.parent / "on").touch()
    deadline = time.monotonic() + 20
    while "a profile is on already" in (second := profile(clone, "compose", RUN_ID="other")).stderr:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert second.returncode == 1
    assert "eval runs already" in second.stderr
    assert len(docker.read_text().splitlines()) == 1, "no analysis, no second run"


def test_one_runs_in_the_background_and_a_second_is_refused(clone: Path) -> None:
    first = profile(clone, RUN_ID="long")
    assert first.returncode == 0, first.stderr
    assert "monitor.out" in first.stdout
    log = clone / ".podium" / "long.log"
    wait_for(log, "given: run --embedded RUN_ID=long CONCURRENCY=512 MONITOR=true")
    second = profile(clone, RUN_ID="other")
    assert second.returncode == 1
    assert "a profile is on already: long" in second.stderr

    (clone.parent / "end").touch()
    deadline = time.monotonic() + 20
    while (third := profile(clone, RUN_ID="third", CONCURRENCY="8")).returncode != 0:
        assert time.monotonic() < deadline, third.stderr
        time.sleep(0.05)
    wait_for(clone / ".podium" / "third.log", "CONCURRENCY=8")
