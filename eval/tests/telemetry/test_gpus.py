"""nvidia-ml-py itself reads a libnvidia-ml.so.1 that the test builds; without one there is nothing to read."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from podium_eval.clock import SystemClock
from podium_eval.telemetry.gpus import GpuProbe, Readings, gpu_reader

READ = """
import json, sys
from podium_eval.telemetry.gpus import gpu_reader
print(json.dumps(gpu_reader(sys.argv[1])()))
"""


def read(setting: str, libraries: Path) -> tuple[list[dict[str, Any]], str]:
    environment = os.environ | {"LD_LIBRARY_PATH": str(libraries)}
    ran = subprocess.run(
        [sys.executable, "-c", READ, setting], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(ran.stdout), ran.stderr


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler for an NVML library of the test's own")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True, timeout=60)
    return folder


def test_what_the_driver_does_not_give_is_absent(libraries: Path) -> None:
    readings, _ = read("all", libraries)
    memory = {"memory_used_mib": 512.0, "memory_total_mib": 81920.0}
    assert readings == [
        {"index": 0, "uuid": "GPU-0", "name": "Loopback", "util_pct": 0, **memory, "power_w": 123.456, "sm_mhz": 1980},
        {"index": 1, "uuid": "GPU-1", "name": "Loopback", **memory},
    ]


def test_only_the_run_s_own_gpus_are_read(libraries: Path) -> None:
    assert [gpu["index"] for gpu in read("1", libraries)[0]] == [1]
    readings, told = read("GPU-0, 7", libraries)
    assert [gpu["uuid"] for gpu in readings] == ["GPU-0"]
    assert "SAMPLE_GPUS=GPU-0,7: NVML shows 2 GPUs, and 1 of those named" in told


def test_a_machine_without_nvml_reads_nothing_silently(tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver")
    assert read("all", tmp_path) == ([], "")
    assert gpu_reader("none") is None


async def test_a_driver_that_hangs_costs_readings_alone() -> None:
    go_on, calls = threading.Event(), []

    def slow() -> Readings:
        calls.append(1)
        go_on.wait(30)
        return [{"index": 0}]

    probe = GpuProbe(slow, SystemClock())
    assert await probe.sample(0.01) == []
    assert await probe.sample(0.01) == []
    assert len(calls) == 1, "no second thread waits beside the first"
    go_on.set()
    assert await probe.sample(30) == [{"index": 0}]
    assert await probe.sample(30) == [{"index": 0}]
    assert len(calls) == 2


async def test_a_library_that_fails_is_told_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Readings:
        raise OSError("symbol not found")

    assert await GpuProbe(broken, SystemClock()).sample(30) == []
    assert "symbol not found" in caplog.text
