"""What docker compose makes of the two files, without starting anything."""

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from podium_live.settings import LiveSettings
from podium_retrieval.settings import Settings as RetrievalSettings
from podium_vllm.settings import PREFIX, ServeSettings

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.docker
PROFILES = ("analysis", "live")
CPU = ("docker-compose.yml", "docker-compose.cpu.yml")


def config(
    *files: str, env_file: Path | None = None, profiles: tuple[str, ...] = ("analysis", "live")
) -> dict[str, Any]:
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


def test_the_cpu_file_swaps_gpu_for_embedded_models() -> None:
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
def test_nothing_starts_before_the_settings_are_complete(files: tuple[str, ...]) -> None:
    services = config(*files)["services"]
    for name in ("vllm", "retrieval", "sandbox"):
        assert services[name]["depends_on"]["settings"]["condition"] == "service_completed_successfully"
    assert services["settings"]["command"] == ["check", "--settings-only"]
    assert "depends_on" not in services["settings"]


def test_the_first_job_looks_into_the_index_that_retrieval_gets(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("INDEX_DIR=/somewhere\n")
    for files in (("docker-compose.yml",), CPU):
        settings = config(*files, env_file=env)["services"]["settings"]
        assert settings["environment"]["INDEX_DIR"] == "/index"
        assert [v["source"] for v in settings["volumes"] if v["target"] == "/index"] == ["/somewhere"]
    assert not config(*CPU)["services"]["settings"]["environment"]["INDEX_DIR"], "the image has an index of its own"


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


SECRETS = {
    "OPENAI_API_KEY": {"eval", "settings"},
    "TOGETHER_API_KEY": {"eval", "settings"},
    "EXPERT_API_KEY": {"eval", "settings"},
    "ORCHESTRATOR_API_KEY": {"eval", "settings"},
    "MY_HOST_API_KEY": {"eval", "settings"},  # of a provider that MODELS_FILE adds
    "AWS_SECRET_ACCESS_KEY": {"eval", "settings"},  # nothing that Podium knows
    "HF_TOKEN": {"eval", "settings", "vllm", "retrieval"},
    "LIVE_TOKEN": {"eval", "settings", "live"},
    "TAVILY_API_KEY": {"eval", "settings", "retrieval"},
    "RETRIEVAL_EMBEDDER_API_KEY": {"eval", "settings", "retrieval"},
}
"""What stands in a user's .env, and the containers that may see it."""


def clone(folder: Path, **variables: str) -> tuple[str, ...]:
    """The compose files in a folder with a .env of their own."""
    for name in ("docker-compose.yml", "docker-compose.cpu.yml", "services/vllm/embedded.env"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    return tuple(str(folder / name) for name in CPU)


@pytest.mark.parametrize("n", [1, 2], ids=["gpu", "cpu"])
def test_a_key_reaches_no_container_that_does_not_need_it(n: int, tmp_path: Path) -> None:
    files = clone(tmp_path, **{name: f"secret-{name}" for name in SECRETS})
    services = config(*files[:n], env_file=tmp_path / ".env")["services"]
    seen = {
        secret: {name for name, service in services.items() if f"secret-{secret}" in json.dumps(service)}
        for secret in SECRETS
    }
    assert seen == SECRETS


@pytest.mark.parametrize("n", [1, 2], ids=["gpu", "cpu"])
def test_every_setting_of_a_service_reaches_it(n: int, tmp_path: Path) -> None:
    wanted = {
        "vllm": {PREFIX + field.name.upper() for field in dataclasses.fields(ServeSettings)},
        "retrieval": {name.upper() for name in RetrievalSettings.model_fields},
        "live": {name.upper() for name in LiveSettings.model_fields},
    }
    ours = {
        *("SERVE_NAME", "SERVE_HOST", "SERVE_PORT"),
        *("RETRIEVAL_HOST", "RETRIEVAL_PORT", "INDEX_DIR", "RETRIEVAL_WEB_CACHE_DIR"),
        *("RUNS_DIR", "LIVE_HOST", "LIVE_PORT", "LIVE_PUBLISHED_LOCALLY"),
        *(("SERVE_MODEL",) if n == 2 else ()),
    }
    files = clone(tmp_path, **{name: "the-users" for names in wanted.values() for name in names - ours})
    services = config(*files[:n], env_file=tmp_path / ".env")["services"]
    for service, names in wanted.items():
        got = services[service]["environment"]
        assert not names - got.keys(), f"docker-compose.yml does not pass these to {service}"
        assert {name for name in names - ours if got[name] != "the-users"} == set(), service


def test_the_cpu_file_says_what_the_embedded_default_says(tmp_path: Path) -> None:
    files = clone(tmp_path)
    services = config(*files, env_file=tmp_path / ".env")["services"]
    embedded = {k: v for k, v in dotenv_values(ROOT / "services/vllm/embedded.env").items() if v}
    for service, prefix in (("vllm", "SERVE_"), ("retrieval", "EMBEDDING_")):
        expected = {k: v for k, v in embedded.items() if k.startswith(prefix)}
        assert expected
        assert {k: services[service]["environment"][k] for k in expected} == expected


def test_a_file_of_its_own_gives_the_services_more(tmp_path: Path) -> None:
    files = clone(tmp_path, SERVICES_ENV_FILE="more.env")
    (tmp_path / "more.env").write_text("VLLM_LOGGING_LEVEL=DEBUG\n")
    services = config(files[0], env_file=tmp_path / ".env")["services"]
    found = {name for name, service in services.items() if "VLLM_LOGGING_LEVEL" in service["environment"]}
    assert found == {"vllm", "retrieval"}


def test_every_container_ends_in_good_order_and_fills_no_disk() -> None:
    for name, service in config()["services"].items():
        assert service["init"] is True, name
        assert service["logging"]["options"]["max-size"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("ports") or {port[0] for port in ports(service)} == {"127.0.0.1"}, name
    assert config()["services"]["analysis"]["network_mode"] == "none"


def test_one_volume_holds_the_runs() -> None:
    services = config()["services"]
    for name in ("eval", "analysis", "live"):
        runs = [v for v in services[name]["volumes"] if v["target"] == "/runs"]
        assert [(v["type"], v["source"]) for v in runs] == [("volume", "runs")]
        assert runs[0].get("read_only", False) is (name == "live")


def test_the_live_page_needs_no_other_container() -> None:
    live = config()["services"]["live"]
    assert ports(live) == [("127.0.0.1", "1480", 1480)]
    assert list(live["networks"]) == ["page"]
    assert "depends_on" not in live
    assert live["read_only"] is True
