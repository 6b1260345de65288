"""What `podium` lists is what the commands know."""

import subprocess
import sys

import pytest
from podium_local.podium import commands

PAIRS = [(command, sub) for command, subs in commands().items() if command != "podium" for sub in subs]


@pytest.mark.parametrize(("command", "sub"), PAIRS)
def test_every_listed_command_exists_and_has_options(command: str, sub: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", command.replace("-", "_"), sub, "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"{command}" in done.stdout
