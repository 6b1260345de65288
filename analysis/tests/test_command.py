"""podium-analysis as a process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

MakeRun = Callable[..., Path]


def test_a_reader_that_goes_early_is_no_error(make_run: MakeRun) -> None:
    run = make_run(n=3)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "podium_analysis", "compare", str(run), str(run)]
    made = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(writer)
    assert (made.returncode, made.stderr) == (0, b"")
