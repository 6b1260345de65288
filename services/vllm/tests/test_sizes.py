"""The KV cache is held against the context length before a weight loads."""

import json
from pathlib import Path

import pytest
from podium_vllm.settings import ServeSettings, SettingError
from podium_vllm.sizes import GIB, cache_bytes, sizes

QWEN3_8B = {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 4096, "max_position_embeddings": 40_960}  # fmt: skip
PER_TOKEN = 2 * 36 * 8 * 128 * 2


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_8B))
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1024)
    return str(tmp_path)


def test_tokens_and_requests_are_told_in_one_line(checkpoint: str) -> None:
    found = sizes(ServeSettings(model=checkpoint, max_num_seqs=512, max_model_len=32_768), 100_000 * PER_TOKEN)
    assert found is not None
    assert found.tokens == 100_000
    assert found.line() == (
        "KV cache: about 100,000 tokens, 3.1 requests of 32,768; "
        "SERVE_MAX_NUM_SEQS=512 holds as long as they average 195"
    )


def test_a_cache_smaller_than_one_request_is_refused(checkpoint: str) -> None:
    with pytest.raises(SettingError, match=r"one request may have 40,960: lower SERVE_MAX_MODEL_LEN"):
        sizes(ServeSettings(model=checkpoint), 40_959 * PER_TOKEN)


def test_an_fp8_cache_holds_twice_as_much(checkpoint: str) -> None:
    found = sizes(ServeSettings(model=checkpoint, kv_cache_dtype="fp8"), 50_000 * PER_TOKEN)
    assert found is not None
    assert found.tokens == 100_000


def test_the_cache_is_what_share_and_weights_leave(checkpoint: str) -> None:
    settings = ServeSettings(model=checkpoint, gpu_memory_utilization=0.5, cpu_kv_cache_gb=3)
    assert cache_bytes(settings, 80 * GIB) == 40 * GIB - 1024
    assert cache_bytes(settings, None) == 3 * GIB


def test_a_model_on_the_hub_is_not_judged() -> None:
    assert sizes(ServeSettings(model="nvidia/Nemotron-Orchestrator-8B"), GIB) is None
