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
    settings = LocalSettings(orchestrator_url="http://127.0.0.1:1500/v1", orchestrator_model="m")
    (spec,) = specs.orchestrators(settings, ENVIRONMENT)
    assert spec.name == "vllm"
    assert {k: v for k, v in spec.environment.items() if k.startswith("SERVE_")} == {
        "SERVE_MODEL": "org/model",
        "SERVE_HOST": "127.0.0.1",
        "SERVE_PORT": "1500",
        "SERVE_NAME": "m",
    }
    assert not any(k.endswith("_API_KEY") for k in spec.environment)


def test_each_sees_its_own_gpu() -> None:
    settings = LocalSettings(orchestrator_gpu="0", retrieval_gpu="1")
    (vllm,) = specs.orchestrators(settings, ENVIRONMENT)
    assert vllm.environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert specs.retrieval(settings, ENVIRONMENT).environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in specs.orchestrators(LocalSettings(), ENVIRONMENT)[0].environment


def test_each_orchestrator_address_gets_a_replica_with_its_gpus() -> None:
    addresses = "http://127.0.0.1:1406/v1, http://127.0.0.1:1407/v1"
    settings = LocalSettings(orchestrator_url=addresses, orchestrator_gpu="0,1,2,3", local_reuse="vllm")
    first, second = specs.orchestrators(settings, ENVIRONMENT)
    assert (first.name, second.name) == ("vllm-1", "vllm-2")
    assert [spec.environment["SERVE_PORT"] for spec in (first, second)] == ["1406", "1407"]
    assert [spec.environment["CUDA_VISIBLE_DEVICES"] for spec in (first, second)] == ["0,1", "2,3"]
    assert [first.reused, second.reused] == [True, True]


def test_gpus_that_replicas_cannot_share_evenly_are_refused() -> None:
    addresses = "http://127.0.0.1:1406/v1,http://127.0.0.1:1407/v1"
    with pytest.raises(ValueError, match="3 GPUs for the 2 addresses"):
        specs.orchestrators(LocalSettings(orchestrator_url=addresses, orchestrator_gpu="0,1,2"), ENVIRONMENT)


def test_an_address_without_a_port_is_named() -> None:
    with pytest.raises(ValueError, match="RETRIEVAL_URL"):
        specs.retrieval(LocalSettings(retrieval_url="http://retrieval"), ENVIRONMENT)


def test_an_unknown_service_to_reuse_is_refused() -> None:
    assert LocalSettings(local_reuse="vllm, sandbox").reuse == {"vllm", "sandbox"}
    with pytest.raises(ValidationError, match="vlm: the services are"):
        LocalSettings(local_reuse="vlm")
