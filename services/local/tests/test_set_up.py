"""set-up: the newest interpreter that has torch's CPU build, one line for each that has not, uv where none is left."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "set-up"
TORCH = "torch==2.13.0+cpu ; sys_platform == 'linux'\ntorch==2.13.0 ; sys_platform == 'darwin'\n"

PYTHON = """\
#!{real}
# Stands in for an interpreter of version {version}: makes environments that hold itself, and its pip lists torch's
# versions and notes what is installed.
import os, shutil, sys
argv = sys.argv[1:]
if argv[:1] == ["-c"]:
    print("{version}")
elif argv[:2] == ["-m", "venv"]:
    if not {venv}:
        sys.exit("ensurepip is not available")
    os.makedirs(argv[-1] + "/bin", exist_ok=True)
    shutil.copy({self!r}, argv[-1] + "/bin/python")
elif argv[:4] == ["-m", "pip", "index", "versions"]:
    if {torch}:
        print("torch (2.15.0)\\nAvailable versions: 2.15.0, 2.13.0+cpu, 2.13.0")
    else:
        print("torch (2.15.0)\\nAvailable versions: 2.15.0, 2.13.0")
elif argv[:3] == ["-m", "pip", "install"]:
    open({log!r}, "a").write("{version} " + " ".join(argv) + "\\n")
"""


@pytest.fixture
def set_up(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the script where the interpreters given, and no other, are on PATH."""
    folder, log = tmp_path / "bin", tmp_path / "log"
    folder.mkdir()
    for tool in (
        "dirname",
        "cat",
        "sed",
        "sort",
        "head",
        "tail",
        "tr",
        "grep",
        "uname",
        "awk",
        "cut",
        "uniq",
        "mktemp",
        "rm",
    ):
        for place in ("/usr/bin", "/bin"):
            if Path(place, tool).exists():
                (folder / tool).symlink_to(Path(place, tool))
                break
    lock = tmp_path / "requirements.lock"
    lock.write_text("anyio==4.0\n" + TORCH)

    def run(*interpreters: tuple[str, bool, bool], python: str = "") -> subprocess.CompletedProcess[str]:
        for version, venv, torch in interpreters:
            path = folder / f"python{version}"
            values = {"real": sys.executable, "version": version, "venv": venv, "torch": torch, "self": str(path)}
            path.write_text(PYTHON.format(**values, log=str(log)))
            path.chmod(0o755)
        return subprocess.run(
            ["/bin/sh", SCRIPT, tmp_path / "env", lock],
            env={"PATH": str(folder), "PYTHON": python, "TORCH_CPU_INDEX": "https://cpu.example/whl"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def installed_by(tmp_path: Path) -> set[str]:
    return {line.split()[0] for line in (tmp_path / "log").read_text().splitlines()}


def test_the_newest_interpreter_that_fits_is_taken(set_up, tmp_path: Path) -> None:
    done = set_up(("3.12", True, True), ("3.14", True, True))
    assert done.returncode == 0, done.stderr
    assert "Python 3.14 in" in done.stderr
    assert installed_by(tmp_path) == {"3.14"}


def test_one_without_torchs_cpu_build_is_named_and_passed_over(set_up, tmp_path: Path) -> None:
    done = set_up(("3.11", True, True), ("3.13", True, False))
    assert done.returncode == 0, done.stderr
    assert "no torch==2.13.0+cpu for Python 3.13" in done.stderr
    assert installed_by(tmp_path) == {"3.11"}


def test_one_that_makes_no_environments_is_passed_over(set_up, tmp_path: Path) -> None:
    done = set_up(("3.12", False, True), ("3.11", True, True))
    assert done.returncode == 0, done.stderr
    assert "Python 3.12 makes no environment: ensurepip is not available" in done.stderr
    assert installed_by(tmp_path) == {"3.11"}


def test_none_that_fits_ends_with_what_to_do(set_up, tmp_path: Path) -> None:
    done = set_up(("3.12", True, False))
    assert done.returncode == 1
    assert "on PATH: 3.12" in done.stderr.splitlines()[-1]
    assert "install one, or set PYTHON" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "log").exists()


def test_an_interpreter_named_by_the_user_is_the_only_one(set_up, tmp_path: Path) -> None:
    done = set_up(("3.12", True, False), ("3.11", True, True), python="python3.12")
    assert done.returncode == 1
    assert "PYTHON=python3.12 does not do" in done.stderr
    assert not (tmp_path / "log").exists()


def test_else_uv_brings_one(set_up, tmp_path: Path) -> None:
    uv = tmp_path / "bin" / "uv"
    brought = tmp_path / "brought"
    values = {"real": sys.executable, "version": "3.12", "venv": True, "torch": True, "self": str(brought)}
    brought.write_text(PYTHON.format(**values, log=str(tmp_path / "log")))
    brought.chmod(0o755)
    uv.write_text(
        f"#!/bin/sh\ncase $* in *'--python 3.12'*) for f; do :; done; exec {brought} -m venv $f ;; esac\n"
        "echo 'no such interpreter' >&2; exit 2\n"
    )
    uv.chmod(0o755)
    done = set_up(("3.11", True, False))
    assert done.returncode == 0, done.stderr
    assert "Python 3.13 makes no environment: no such interpreter" in done.stderr
    assert installed_by(tmp_path) == {"3.12"}
