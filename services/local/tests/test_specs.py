"""Each service sees what is its business, and no other's keys."""

import pytest
from podium_local import specs
from podium_local.settings import LocalSettings
from pydantic import ValidationError

ENVIRONMENT = {
    "PATH": "/bin",
    "OPENAI_API_KEY": "sk-secret",
    "MY_HOST_API_KEY": "of a provider that MODELS_FILE adds",
    "TAVILY_API_KEY": "tvly-secret",
    "RETRIEVAL_EMBEDDER_API_KEY": "embed-secret",
    "SANDBOX_URL": "http://127.0.0.1:1502",
    "SANDBOX_MEMORY_MB": "512",
    "HF_HOME": "/cache",
    "SERVE_MODEL": "org/model",
}


def test_the_sandbox_gets_only_what_it_needs() -> None:
    spec = specs.sandbox(LocalSettings(sandbox_url="http://127.0.0.1:1502"), ENVIRONMENT)
    assert dict(spec.environment) == {
        "PATH": "/bin",
        "SANDBOX_MEMORY_MB": "512",
        "SANDBOX_HOST": "127.0.0.1",
        "SANDBOX_PORT": "1502",
    }


def test_retrieval_gets_its_own_two_keys_alone() -> None:
    spec = specs.retrieval(LocalSettings(), ENVIRONMENT)
    assert {k for k in spec.environment if k.endswith("_API_KEY")} == {
        "TAVILY_API_KEY",
        "RETRIEVAL_EMBEDDER_API_KEY",
    }
    assert spec.environment["HF_HOME"] == "/cache"


def test_vllm_is_started_where_eval_will_ask() -> None:
    spec = specs.vllm(LocalSettings(orchestrator_url="http://127.0.0.1:1500/v1", orchestrator_model="m"), ENVIRONMENT)
    assert {k: v for k, v in spec.environment.items() if k.startswith("SERVE_")} == {
        "SERVE_MODEL": "org/model",
        "SERVE_HOST": "127.0.0.1",
        "SERVE_PORT": "1500",
        "SERVE_NAME": "m",
    }
    assert not any(k.endswith("_API_KEY") for k in spec.environment)


def test_each_sees_its_own_gpu() -> None:
    settings = LocalSettings(orchestrator_gpu="0", retrieval_gpu="1")
    assert specs.vllm(settings, ENVIRONMENT).environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert specs.retrieval(settings, ENVIRONMENT).environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in specs.vllm(LocalSettings(), ENVIRONMENT).environment


def test_an_address_without_a_port_is_named() -> None:
    with pytest.raises(ValueError, match="RETRIEVAL_URL"):
        specs.retrieval(LocalSettings(retrieval_url="http://retrieval"), ENVIRONMENT)


def test_an_unknown_service_to_reuse_is_refused() -> None:
    assert LocalSettings(local_reuse="vllm, sandbox").reuse == {"vllm", "sandbox"}
    with pytest.raises(ValidationError, match="vlm: the services are"):
        LocalSettings(local_reuse="vlm")
