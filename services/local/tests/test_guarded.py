"""Processes end with everything below them, however the one that started them went."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from podium_local.guarded import Guarded

STUBBORN_FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(
    [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"],
    start_new_session=True,
)
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1], sys.argv[1] + ".ready")
time.sleep(600)
"""

PARENT = """
import asyncio, os, sys
from podium_local.guarded import Guarded

async def main():
    await Guarded.start([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ, stop_timeout_s=0.2)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "condition not reached in time"
        time.sleep(0.01)


async def family(tmp_path: Path, stop_timeout_s: float = 0.2) -> tuple[Guarded, list[int]]:
    file = tmp_path / "pids"
    guarded = await Guarded.start(
        [sys.executable, "-c", STUBBORN_FAMILY, str(file)], os.environ, stop_timeout_s=stop_timeout_s
    )
    ready = file.with_name("pids.ready")
    await asyncio.to_thread(wait_until, ready.exists)
    return guarded, [int(pid) for pid in ready.read_text().split()]


async def test_stop_ends_children_that_ignore_sigterm(tmp_path: Path) -> None:
    guarded, pids = await family(tmp_path)
    assert all(alive(pid) for pid in pids)
    await guarded.stop()
    assert not any(alive(pid) for pid in pids)
    await guarded.stop()


async def test_a_process_that_dies_takes_its_children_with_it(tmp_path: Path) -> None:
    guarded, pids = await family(tmp_path)
    os.kill(pids[0], signal.SIGKILL)
    assert await guarded.wait() == 128 + signal.SIGKILL
    assert not any(alive(pid) for pid in pids)


def test_kill_9_of_the_parent_ends_everything(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, STUBBORN_FAMILY, str(file)])
    ready = file.with_name("pids.ready")
    try:
        wait_until(ready.exists)
    finally:
        parent.kill()
        parent.wait()
    pids = [int(pid) for pid in ready.read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in pids))


async def test_the_exit_status_is_the_processs_own() -> None:
    guarded = await Guarded.start([sys.executable, "-c", "raise SystemExit(7)"], os.environ, stop_timeout_s=1)
    assert await guarded.wait() == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_reaches_the_process_itself(tmp_path: Path, number: int) -> None:
    program = """
import signal, sys, time
def end(number, frame):
    time.sleep(0.3)
    sys.exit(40 + number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
open(sys.argv[1], "w").close()
time.sleep(600)
"""
    ready = tmp_path / "ready"
    guarded = await Guarded.start([sys.executable, "-c", program, str(ready)], os.environ, stop_timeout_s=0.01)
    await asyncio.to_thread(wait_until, ready.exists)
    guarded.signal(number)
    assert await guarded.wait() == 40 + number
