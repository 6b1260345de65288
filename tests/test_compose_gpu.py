"""The unmodified GPU file on a machine without a GPU: containers start, and the services end at the missing device.

Needs an engine that accepts nvidia reservations and hands out no device (the engine-up script's ENGINE_GPU_STUB=1). The
official vLLM image cannot be had without a registry, so a stand-in takes its place: it has a `vllm` command that says
which arguments it got and that it finds no device. What is shown is Podium's file, image and serve script, not vLLM.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

STAND_IN = """
FROM python:3.11-slim
RUN printf '%s\\n' '#!/usr/local/bin/python' 'import glob, sys' \
      'print("arguments:", *sys.argv[1:], flush=True)' \
      'sys.exit(None if glob.glob("/dev/nvidia[0-9]*") else "no NVIDIA device")' > /usr/local/bin/vllm \
 && chmod 755 /usr/local/bin/vllm \
 && d=/usr/local/lib/python3.11/site-packages/vllm-0.26.0.dist-info && mkdir $d \
 && printf 'Metadata-Version: 2.1\\nName: vllm\\nVersion: 0.26.0\\n' > $d/METADATA
"""


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


class Compose:
    """The GPU file alone, as project and image tag of its own."""

    def __init__(self, folder: Path) -> None:
        self.project = f"{os.environ.get('COMPOSE_PROJECT_NAME', 'podium')}-gpu-{os.getpid()}"
        self.stand_in = f"podium-stand-in:{os.getpid()}"
        self.environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_HOST")} | {
            "PODIUM_TAG": f"test-{os.getpid()}",
            "VLLM_IMAGE": self.stand_in,
            "INDEX_DIR": str(folder),
            "RESTARTS": "1",
            "ORCHESTRATOR_PORT": free_port(),
            "RETRIEVAL_PORT": free_port(),
        }

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "compose", "--env-file", os.devnull, "-p", self.project, "-f", "docker-compose.yml", *argv],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )

    def ended(self, service: str) -> dict[str, object]:
        """The service's container, once it has ended for good."""
        found = self("ps", "-aq", service).stdout.split()
        assert found, f"no container of {service}"
        deadline = time.monotonic() + 120
        while True:
            container = json.loads(subprocess.check_output(["docker", "inspect", found[0]], timeout=60))[0]
            if container["State"]["Status"] == "exited":
                return container
            assert time.monotonic() < deadline, container["State"]
            time.sleep(0.25)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    made = Compose(tmp_path_factory.mktemp("index"))
    built = subprocess.run(
        ["docker", "build", "-q", "-t", made.stand_in, "-"], input=STAND_IN, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stderr
    image = made("build", "vllm")
    assert image.returncode == 0, image.stdout[-3000:]
    try:
        yield made
    finally:
        made("--profile", "analysis", "down", "-v", "--remove-orphans", "-t", "2")
        images = [made.stand_in, f"podium-vllm:{made.environment['PODIUM_TAG']}"]
        subprocess.run(["docker", "rmi", "-f", *images], capture_output=True, timeout=120)


def test_vllm_starts_and_ends_at_the_missing_device(compose: Compose) -> None:
    started = compose("up", "-d", "--no-deps", "vllm")
    if "could not select device driver" in started.stdout:
        pytest.skip("docker: this engine accepts no nvidia reservation (start it with ENGINE_GPU_STUB=1)")
    assert started.returncode == 0, started.stdout
    container = compose.ended("vllm")
    assert container["State"]["ExitCode"] == 1
    assert container["RestartCount"] == 1
    requests = container["HostConfig"]["DeviceRequests"]
    assert [(r["Driver"], r["DeviceIDs"], r["Capabilities"]) for r in requests] == [("nvidia", ["0"], [["gpu"]])]
    assert container["Config"]["User"] == "podium"
    said = compose("logs", "--no-log-prefix", "vllm").stdout
    assert "no NVIDIA device" in said
    arguments = said.split("arguments:")[1].splitlines()[0].split()
    assert arguments[:2] == ["serve", "nvidia/Nemotron-Orchestrator-8B"]
    assert {"--enable-per-request-metrics", "--served-model-name", "--tool-call-parser"} <= set(arguments)


def test_waiting_for_a_service_without_its_device_fails(compose: Compose) -> None:
    ended = compose("up", "-d", "--no-deps", "--wait", "vllm")
    if "could not select device driver" in ended.stdout:
        pytest.skip("docker: this engine accepts no nvidia reservation (start it with ENGINE_GPU_STUB=1)")
    assert ended.returncode != 0, ended.stdout
