"""The stack's first job in real containers: what is missing is told before anything else starts.

The images of vLLM, retrieval and the sandbox are stand-ins that serve nothing but their health: they take minutes and
gigabytes, and what is shown is Podium's compose file and its first job.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
SERVICES = ("vllm", "retrieval", "sandbox")
STAND_IN = """
FROM python:3.11-slim
RUN mkdir -p /srv/app/podium_vllm && echo ok > /srv/app/health && touch /srv/app/podium_vllm/__init__.py \
 && echo pass > /srv/app/podium_vllm/__main__.py
ENV PYTHONPATH=/srv/app
WORKDIR /srv/app
ENTRYPOINT ["sh", "-c", "exec python -m http.server ${RETRIEVAL_PORT:-${SANDBOX_PORT:-1406}}"]
"""
NO_GPU = (
    "services: {vllm: {deploy: !reset null, ports: !reset []}, retrieval: {deploy: !reset null, ports: !reset []}}\n"
)


class Compose:
    """The GPU file without its devices, as a project and with image tags of its own."""

    def __init__(self, folder: Path) -> None:
        self.project = f"{os.environ.get('COMPOSE_PROJECT_NAME', 'podium')}-settings-{os.getpid()}"
        self.tag = f"settings-{os.getpid()}"
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_HOST")} | {
            "PODIUM_TAG": self.tag,
            "INDEX_DIR": str(folder / "index"),
            "DATASETS_DIR": str(folder / "datasets"),
        }

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        files = ("-f", "docker-compose.yml", "-f", str(self.folder / "no-gpu.yml"))
        return subprocess.run(
            ["docker", "compose", "--env-file", os.devnull, "-p", self.project, *files, *argv],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def down(self) -> None:
        self("--profile", "analysis", "down", "-v", "--remove-orphans", "-t", "1")

    def started(self) -> set[str]:
        """The services whose container has ever run."""
        return {
            name
            for name in (*SERVICES, "eval")
            if (found := self("ps", "-aq", name).stdout.split())
            and subprocess.check_output(
                ["docker", "inspect", "-f", "{{.State.Status}}", found[0]], text=True, timeout=60
            ).strip()
            != "created"
        }


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    folder = tmp_path_factory.mktemp("stack")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    (folder / "no-gpu.yml").write_text(NO_GPU)
    for name in ("index", "datasets"):
        (folder / name).mkdir()
    made = Compose(folder)
    built = made("build", "settings")
    assert built.returncode == 0, built.stdout[-3000:]
    images = [f"podium-{name}:{made.tag}" for name in SERVICES]
    tags = [part for image in images for part in ("-t", image)]
    stand_in = subprocess.run(
        ["docker", "build", "-q", *tags, "-"], input=STAND_IN, capture_output=True, text=True, timeout=300
    )
    assert stand_in.returncode == 0, stand_in.stderr
    try:
        yield made
    finally:
        made.down()
        subprocess.run(["docker", "rmi", "-f", *images, f"podium-eval:{made.tag}"], capture_output=True, timeout=120)


def test_an_empty_env_lists_everything_that_is_missing(compose: Compose) -> None:
    """In one list, within 15 s, with an exit status that is not 0, and nothing but the first job has run."""
    began = time.monotonic()
    ended = compose("up", "--no-build", "--exit-code-from", "eval", "eval")
    took = time.monotonic() - began
    assert ended.returncode != 0
    assert took < 15, f"{took:.1f} s"
    assert 'service "settings" didn\'t complete successfully' in ended.stdout
    told = compose("logs", "--no-log-prefix", "settings").stdout
    for name in ("DATASET is not set", "EXPERT_DEFAULT", "JUDGE is not set", "INDEX_DIR: /index has no eval.index"):
        assert name in told
    assert compose.started() == set()
    compose.down()


def test_the_first_job_alone_prints_the_same_list(compose: Compose) -> None:
    ended = compose("run", "--rm", "settings")
    assert ended.returncode == 2
    assert "4 settings are missing or wrong" in ended.stdout
    compose.down()


def test_complete_settings_let_the_stack_start(compose: Compose) -> None:
    for name in ("eval.index", "eval.jsonl"):
        (compose.folder / "index" / name).write_text("")
    (compose.folder / "datasets" / "q.jsonl").write_text(
        '{"id": "a", "question": "2 + 2?", "answer": "4", "answer_type": "exactMatch"}\n'
    )
    (compose.folder / "set.yml").write_text(
        "x-set: &set {DATASET: datasets/q.jsonl, EXPERT_DEFAULT: 'vllm/x@http://vllm:1406/v1', JUDGE: 'vllm/x@http://vllm:1406/v1'}\n"
        "services: {settings: {environment: *set}, eval: {environment: *set}}\n"
    )
    ended = compose("-f", str(compose.folder / "set.yml"), "up", "--no-build", "--exit-code-from", "eval", "eval")
    assert ended.returncode == 2, ended.stdout[-3000:]
    assert "the check failed" in ended.stdout, "eval has run, and found that the stand-ins answer nothing"
    assert compose.started() == {*SERVICES, "eval"}
