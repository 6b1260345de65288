"""install-locked: the CPU build of torch first, as pip is configured, else from the CPU index; nothing is resolved."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "install-locked"
INDEX = "https://cpu.example/whl"

PYTHON = """\
#!{python}
import os, sys
open({calls!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
if "-r" in sys.argv:
    open({calls!r}, "a").write("installed " + ",".join(open(sys.argv[-1]).read().split()) + "\\n")
wants_torch = any(a.startswith("torch==") for a in sys.argv)
has_index = "--index-url" in sys.argv
sys.exit(wants_torch and not (has_index if os.environ["TORCH"] == "index" else os.environ["TORCH"] == "configured"))
"""


@pytest.fixture
def install(tmp_path: Path):
    """Runs the script with a python that records what pip is asked; torch is found where `torch` says."""
    calls = tmp_path / "calls"
    python = tmp_path / "python"
    python.write_text(PYTHON.format(python=sys.executable, calls=str(calls)))
    python.chmod(0o755)

    def run(torch: str, *locks: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        files = []
        for n, text in enumerate(locks):
            files.append(tmp_path / f"{n}.lock")
            files[-1].write_text(text)
        done = subprocess.run(
            [SCRIPT, python, *files],
            env={"PATH": os.environ["PATH"], "TORCH": torch, "TORCH_CPU_INDEX": INDEX},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


LOCKS = ("numpy==2.0\ntorch==2.13.0+cpu\n", "anyio==4.0\nnumpy==2.0\n")


def test_torch_comes_from_where_pip_is_configured_to_look(install) -> None:
    done, calls = install("configured", *LOCKS)
    assert done.returncode == 0, done.stderr
    assert calls[0].endswith("torch==2.13.0+cpu")
    assert not any(INDEX in call for call in calls)
    assert calls[-1] == "installed anyio==4.0,numpy==2.0,torch==2.13.0+cpu"
    assert all("--no-deps" in call for call in calls if call.startswith("-m pip"))


def test_else_from_the_cpu_index_and_only_torch(install) -> None:
    done, calls = install("index", *LOCKS)
    assert done.returncode == 0, done.stderr
    assert [call for call in calls if INDEX in call] == [calls[1]]
    assert calls[1].endswith("torch==2.13.0+cpu")


def test_nowhere_is_an_error_and_never_another_build(install) -> None:
    done, calls = install("nowhere", *LOCKS)
    assert done.returncode == 1
    assert "no torch==2.13.0+cpu" in done.stderr
    assert not any("-r" in call.split() for call in calls)


def test_locks_that_disagree_are_refused(install) -> None:
    done, calls = install("configured", "numpy==2.0\n", "numpy==2.1\n")
    assert done.returncode == 2
    assert "numpy" in done.stderr
    assert calls == []


def test_a_lock_without_torch_asks_for_none(install) -> None:
    done, calls = install("nowhere", "anyio==4.0\n")
    assert done.returncode == 0, done.stderr
    assert not any("torch" in call for call in calls)


def test_what_one_lock_wants_everywhere_is_installed_once(install) -> None:
    done, calls = install("configured", "attrs==26.1 ; sys_platform == 'linux'\n", "attrs==26.1\n")
    assert done.returncode == 0, done.stderr
    assert calls[-1] == "installed attrs==26.1"


def test_torch_of_another_system_is_no_disagreement(install) -> None:
    pair = "torch==2.13.0 ; sys_platform == 'darwin'\ntorch==2.13.0+cpu ; sys_platform == 'linux'\n"
    done, calls = install("configured", pair)
    assert done.returncode == 0, done.stderr
    assert calls[0].endswith("torch==2.13.0+cpu ; sys_platform == 'linux'")
