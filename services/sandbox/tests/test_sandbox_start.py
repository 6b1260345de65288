"""How the service starts: which isolation it takes, and when it refuses."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]  # conftest's start_sandbox
WAIT_S = 60.0
STANDARD = "import statistics, asyncio, sqlite3, gzip, colorsys\nprint(statistics.mean([1, 3]))\n"


@pytest.mark.parametrize("walls", ["auto", "namespaces", "filters"])
def test_root_with_an_interpreter_in_a_closed_folder_imports(
    start_sandbox: Start, interpreter_is_closed: bool, walls: str
):
    service = start_sandbox({"SANDBOX_WALLS": walls})
    answer = service.run(STANDARD)
    assert (answer["stdout"], answer["stderr"]) == ("2\n", "")
    health = service.health()["walls"]
    assert health["imports"] is True
    if walls == "filters" and interpreter_is_closed:
        assert health["own_uid"] is False
        assert any(line.startswith("imports behind filters, a user id of its own: ") for line in health["missing"])


def test_where_no_way_lets_programs_import_it_refuses_to_start(tmp_path: Any):
    code = (
        "import sys\nfrom podium_sandbox.isolation import survey\nsurvey._UNUSUAL = ('no_such_module',)\n"
        "found = survey.survey('auto', sys.argv[1], 1_879_048_192)\nprint(found.imports, found.missing)\n"
    )
    base = tmp_path / "root"
    base.mkdir()
    result = subprocess.run([sys.executable, "-c", code, str(base)], capture_output=True, text=True, timeout=WAIT_S)
    assert result.stdout.startswith("False "), result.stderr
    assert "No module named 'no_such_module'" in result.stdout


def without_isolation() -> None:
    """A kernel that allows neither namespaces nor Landlock nor filters, made by a filter."""
    from podium_sandbox.isolation.seccomp import _Filter

    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    rules = _Filter()
    for name in ("unshare", "landlock_create_ruleset", "seccomp"):
        rules.refuse(name)
    rules.refuse("prctl", (0, 7, 0xFFFFFFFF, 22))  # PR_SET_SECCOMP
    rules.load()


def test_without_isolation_it_refuses_to_start_with_the_remedy(tmp_path: Any):
    result = subprocess.run(
        [sys.executable, "-m", "podium_sandbox", "serve", "--port", "0"],
        env={"PATH": os.environ["PATH"], "SANDBOX_SCRATCH_DIR": str(tmp_path), "SANDBOX_PRELOAD": "math"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        preexec_fn=without_isolation,
    )
    assert result.returncode == 1
    assert "SANDBOX_UNSAFE=1" in result.stderr
    assert "files False, network False, processes False" in result.stderr
    assert "Traceback" not in result.stderr


def test_unsafe_starts_without_isolation_and_warns(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_UNSAFE": "1", "SANDBOX_PRELOAD": "math"}, before=without_isolation)
    assert service.health()["unsafe"] is True
    assert service.health()["walls"]["enough"] is False
    service.log(lambda line: "WITHOUT ENOUGH ISOLATION" in str(line.get("message")))
    assert service.run("print(1)")["stdout"] == "1\n"
    assert service.run("import time; time.sleep(60)", timeout_s=0.3)["status"] == "timeout"
    assert service.run("import os, time\nos.fork() or time.sleep(60)")["status"] == "ok"
    service.assert_undisturbed()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SANDBOX_PORT": "many"}, "SANDBOX_PORT: "),
        ({"SANDBOX_TIMEOUT_S": "90", "SANDBOX_MAX_TIMEOUT_S": "60"}, "lower the first or raise the second"),
        ({"SANDBOX_CODE_BYTES": "5000", "SANDBOX_FILE_BYTES": "4096"}, "SANDBOX_CODE_BYTES=5000 exceeds"),
        ({"SANDBOX_PRELOAD": "no_such_module"}, "has ended"),
    ],
)
def test_bad_settings_stop_the_start_with_a_line(tmp_path: Any, settings: dict[str, str], message: str):
    result = subprocess.run(
        [sys.executable, "-m", "podium_sandbox", "serve"],
        env={"PATH": os.environ["PATH"], "SANDBOX_SCRATCH_DIR": str(tmp_path), **settings},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert result.returncode in (1, 2)
    assert message in result.stderr
