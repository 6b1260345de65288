"""Settings become flags, and a wrong setting is named."""

import json
import subprocess
import sys

import pytest
from podium_vllm.serve import command, environment
from podium_vllm.settings import ServeSettings, SettingError


def settings(**variables: str) -> ServeSettings:
    return ServeSettings.from_environment({"SERVE_MODEL": "org/model", **variables})


def flag(argv: list[str], name: str) -> str | None:
    return argv[argv.index(name) + 1] if name in argv else None


def test_defaults_serve_the_orchestrator_with_the_servers_own_timings() -> None:
    argv = command(settings(), "vllm")
    assert argv[:3] == ["vllm", "serve", "org/model"]
    assert flag(argv, "--served-model-name") == "orchestrator"
    assert flag(argv, "--port") == "1406"
    assert flag(argv, "--tool-call-parser") == "hermes"
    assert {"--enable-auto-tool-choice", "--enable-per-request-metrics", "--enable-prompt-tokens-details"} <= set(argv)
    assert "--reasoning-parser" not in argv
    assert "--tool-strict-level" not in argv, "v0.26.0 does not know the flag"


def test_every_setting_reaches_its_flag() -> None:
    argv = command(
        settings(
            SERVE_NAME="other",
            SERVE_HOST="0.0.0.0",
            SERVE_PORT="1500",
            SERVE_TOOL_PARSER="qwen3_coder",
            SERVE_TOOL_STRICT_LEVEL="parameter",
            SERVE_REASONING_PARSER="qwen3",
            SERVE_CHAT_TEMPLATE="/t.jinja",
            SERVE_DTYPE="bfloat16",
            SERVE_MAX_MODEL_LEN="32768",
            SERVE_GPU_MEMORY_UTILIZATION="0.9",
            SERVE_MAX_NUM_SEQS="512",
            SERVE_MAX_BATCHED_TOKENS="16384",
            SERVE_KV_CACHE_DTYPE="fp8",
            SERVE_PREFIX_CACHING="true",
            SERVE_ASYNC_SCHEDULING="off",
            SERVE_ENFORCE_EAGER="1",
            SERVE_API_SERVERS="4",
            SERVE_EXTRA_ARGS="--load-format dummy --hf-overrides '{\"a\": 1}'",
        ),
        "vllm",
    )
    expected = {
        "--served-model-name": "other",
        "--host": "0.0.0.0",
        "--port": "1500",
        "--tool-call-parser": "qwen3_coder",
        "--tool-strict-level": "parameter",
        "--reasoning-parser": "qwen3",
        "--chat-template": "/t.jinja",
        "--dtype": "bfloat16",
        "--max-model-len": "32768",
        "--gpu-memory-utilization": "0.9",
        "--max-num-seqs": "512",
        "--max-num-batched-tokens": "16384",
        "--kv-cache-dtype": "fp8",
        "--api-server-count": "4",
        "--load-format": "dummy",
        "--hf-overrides": '{"a": 1}',
    }
    assert {name: flag(argv, name) for name in expected} == expected
    assert {"--enable-prefix-caching", "--no-async-scheduling", "--enforce-eager"} <= set(argv)


def test_no_tool_parser_serves_without_tools() -> None:
    argv = command(settings(SERVE_TOOL_PARSER=""), "vllm")
    assert "--tool-call-parser" in argv, "an empty variable is as if it were not set"
    assert "--tool-call-parser" not in command(settings(SERVE_TOOL_PARSER="none"), "vllm")


def test_cpu_distribution_is_started_by_its_module() -> None:
    chosen = settings(SERVE_CPU_KV_CACHE_GB="2")
    argv = command(chosen, "module")
    assert argv[:3] == [sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry"]
    assert flag(argv, "--model") == "org/model"
    assert environment(chosen, "module")["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment(chosen, "vllm")
    with pytest.raises(SettingError, match="SERVE_API_SERVERS"):
        command(settings(SERVE_API_SERVERS="2"), "module")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SERVE_PORT", "http"),
        ("SERVE_PORT", "70000"),
        ("SERVE_GPU_MEMORY_UTILIZATION", "90"),
        ("SERVE_MAX_NUM_SEQS", "0"),
        ("SERVE_PREFIX_CACHING", "maybe"),
        ("SERVE_EXTRA_ARGS", "--flag 'unclosed"),
        ("SERVE_MAX_SEQS", "3"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingError, match=variable):
        settings(**{variable: value})


def test_the_command_refuses_in_one_line_with_status_2() -> None:
    for variables, said in (({}, "SERVE_MODEL"), ({"SERVE_MODEL": "/no/such/folder"}, "config.json")):
        done = subprocess.run(
            [sys.executable, "-m", "podium_vllm", "serve"], env=variables, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_checkpoint_of_pointers_is_refused_by_its_file(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
    (tmp_path / "model-00001.safetensors").write_text(pointer)
    done = subprocess.run(
        [sys.executable, "-m", "podium_vllm", "serve"],
        env={"SERVE_MODEL": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "model-00001.safetensors is a Git LFS pointer" in done.stderr
    assert done.stderr.count("\n") == 1


def test_serve_prints_its_command_and_becomes_vllm(tmp_path) -> None:
    """A stand-in `vllm` on PATH shows what would really be executed, and with which environment."""
    fake = tmp_path / "vllm"
    fake.write_text(f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([sys.argv, dict(os.environ)]))\n")
    fake.chmod(0o755)
    (tmp_path / "vllm-0.26.0.dist-info").mkdir()
    (tmp_path / "vllm-0.26.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.26.0\n")
    done = subprocess.run(
        [sys.executable, "-m", "podium_vllm", "serve"],
        env={"SERVE_MODEL": "org/model", "PATH": str(tmp_path), "PYTHONPATH": str(tmp_path), "HF_TOKEN": "kept"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    announced, (argv, env) = map(json.loads, done.stdout.splitlines())
    assert announced["argv"][1:] == argv[1:]
    assert argv[1:3] == ["serve", "org/model"]
    assert env["HF_TOKEN"] == "kept"
    assert env["VLLM_NO_USAGE_STATS"] == "1"
    assert not any(name.startswith("SERVE_") for name in env)


def test_a_collector_gets_vllm_s_spans_over_http() -> None:
    with_collector = settings(SERVE_OTLP_ENDPOINT="http://collector:4318/")
    assert flag(command(with_collector, "vllm"), "--otlp-traces-endpoint") == "http://collector:4318/v1/traces"
    assert environment(with_collector, "vllm")["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "http/protobuf"
    assert "--otlp-traces-endpoint" not in command(settings(), "vllm")
    assert not any(name.startswith("OTEL_") for name in environment(settings(), "vllm"))
