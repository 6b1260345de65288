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


def profile(clone: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{clone.parent}/bin:{os.environ['PATH']}", **variables}
    return subprocess.run(
        [clone / "services" / "local" / "profile", "local", "--embedded"],
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
