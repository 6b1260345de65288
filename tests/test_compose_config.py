"""What docker compose makes of the two files, without starting anything."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.docker
CPU = ("docker-compose.yml", "docker-compose.cpu.yml")


def config(*files: str, env_file: Path | None = None, profiles: tuple[str, ...] = ("analysis",)) -> dict[str, Any]:
    """The resolved configuration, without this machine's .env and Podium variables."""
    argv = ["docker", "compose", "--env-file", str(env_file or os.devnull)]
    for file in files or ("docker-compose.yml",):
        argv += ["-f", str(ROOT / file)]
    for profile in profiles:
        argv += ["--profile", profile]
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_HOST")}
    done = subprocess.run(
        [*argv, "config", "--format", "json"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def devices(service: dict[str, Any]) -> list[str]:
    return service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]


def ports(service: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(p["host_ip"], p["published"], p["target"]) for p in service.get("ports", [])]


def test_each_gpu_service_has_its_own_device_and_port() -> None:
    services = config()["services"]
    assert devices(services["vllm"]) == ["0"]
    assert devices(services["retrieval"]) == ["1"]
    assert ports(services["vllm"]) == [("127.0.0.1", "1406", 1406)]
    assert ports(services["retrieval"]) == [("127.0.0.1", "1401", 1401)]


def test_devices_and_ports_are_settings(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("ORCHESTRATOR_GPU=2\nRETRIEVAL_GPU=3\nORCHESTRATOR_PORT=2406\nRETRIEVAL_PORT=2401\nNOFILE=4096\n")
    services = config(env_file=env)["services"]
    assert devices(services["vllm"]) == ["2"]
    assert devices(services["retrieval"]) == ["3"]
    assert ports(services["vllm"])[0][1:] == ("2406", 1406)
    assert ports(services["retrieval"])[0][1:] == ("2401", 1401)
    assert services["retrieval"]["environment"]["RETRIEVAL_PORT"] == "1401"
    assert services["vllm"]["ulimits"]["nofile"] == {"soft": 4096, "hard": 4096}


def test_the_cpu_file_takes_the_gpu_away_and_puts_the_embedded_models_in() -> None:
    services = config(*CPU)["services"]
    for name in ("vllm", "retrieval"):
        assert "deploy" not in services[name]
        assert services[name]["build"]["dockerfile"].endswith("Dockerfile.cpu")
    assert services["vllm"]["environment"]["SERVE_MODEL"].startswith("/opt/podium/models/")
    assert services["vllm"]["environment"]["SERVE_TOOL_STRICT_LEVEL"] == "parameter"
    assert services["eval"]["environment"]["EXPERT_DEFAULT"] == "vllm/orchestrator"
    assert services["eval"]["environment"]["EXPERT_BASE_URL"] == "http://vllm:1406/v1"
    assert services["eval"]["environment"]["ORCHESTRATOR_TOOL_CHOICE"] == "required"


@pytest.mark.parametrize("files", [("docker-compose.yml",), CPU])
def test_eval_waits_for_the_health_of_all_three(files: tuple[str, ...]) -> None:
    services = config(*files)["services"]
    assert {n: d["condition"] for n, d in services["eval"]["depends_on"].items()} == dict.fromkeys(
        ("vllm", "retrieval", "sandbox"), "service_healthy"
    )
    for name in ("vllm", "retrieval", "sandbox"):
        health = services[name]["healthcheck"]
        assert "curl" not in " ".join(health["test"])
        assert health["start_period"]


@pytest.mark.parametrize("files", [("docker-compose.yml",), CPU])
def test_what_runs_experts_programs_reaches_nothing(files: tuple[str, ...]) -> None:
    resolved = config(*files)
    sandbox = resolved["services"]["sandbox"]
    assert list(sandbox["networks"]) == ["code"]
    assert resolved["networks"]["code"]["internal"] is True
    assert {n for n, s in resolved["services"].items() if "code" in (s.get("networks") or {})} == {"sandbox", "eval"}
    assert sandbox["read_only"] is True
    assert sandbox["cap_drop"] == ["ALL"]
    assert sandbox["security_opt"] == ["no-new-privileges:true"]
    assert int(sandbox["pids_limit"]) > 0
    assert int(sandbox["mem_limit"]) > 0
    assert "ports" not in sandbox
    assert "volumes" not in sandbox
    assert all(name.startswith("SANDBOX_") for name in sandbox["environment"])


def test_keys_reach_eval_alone(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("OPENAI_API_KEY=sk-secret\nTAVILY_API_KEY=tvly-secret\n")
    services = config(env_file=env)["services"]
    for name in ("vllm", "retrieval", "sandbox", "analysis"):
        keys = {k: v for k, v in services[name]["environment"].items() if k.endswith("_API_KEY") and v}
        assert not keys, name


def test_every_container_ends_in_good_order_and_fills_no_disk() -> None:
    for name, service in config()["services"].items():
        assert service["init"] is True, name
        assert service["logging"]["options"]["max-size"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert config()["services"]["analysis"]["network_mode"] == "none"


def test_one_volume_holds_the_runs() -> None:
    services = config()["services"]
    for name in ("eval", "analysis"):
        runs = [v for v in services[name]["volumes"] if v["target"] == "/runs"]
        assert [(v["type"], v["source"]) for v in runs] == [("volume", "runs")]
