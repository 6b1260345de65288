"""On a system that is not Linux both commands end at once, with one line that tells what to do instead."""

import subprocess
import sys

import pytest

PROGRAM = """
import platform, sys
platform.system = lambda: "Darwin"
sys.argv[1:] = sys.argv[2:]
from {module}.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "command", "remedy"),
    [("podium_local", "run", "docker compose"), ("podium_sandbox", "serve", "container")],
)
def test_another_system_than_linux_is_refused_in_one_line(module: str, command: str, remedy: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module), module, command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "Linux, not Darwin" in line
    assert remedy in line
