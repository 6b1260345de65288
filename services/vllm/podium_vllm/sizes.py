"""How many contexts the KV cache will hold, from the checkpoint's config.json, before any weight loads."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podium_vllm.settings import ServeSettings, SettingError

GIB = 1 << 30
_DEFAULT_SHARE = 0.9
_ASK_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """context: tokens of the longest request. tokens: in the cache. sequences: most at once; None: vLLM's choice."""

    context: int
    tokens: int
    sequences: int | None

    def line(self) -> str:
        """What is printed before the weights load."""
        line = f"KV cache: about {self.tokens:,} tokens, {self.tokens / self.context:.1f} requests of {self.context:,}"
        if self.sequences is not None and self.sequences * self.context > self.tokens:
            line += (
                f"; SERVE_MAX_NUM_SEQS={self.sequences} holds as long as they average {self.tokens // self.sequences:,}"
            )
        return line


def sizes(settings: ServeSettings, cache_bytes: int) -> Sizes | None:
    """From a checkpoint folder's config.json; None where it lacks the sizes.

    Raises:
        SettingError: not even one request of SERVE_MAX_MODEL_LEN fits.
    """
    try:
        with open(os.path.join(settings.model, "config.json")) as file:
            config: Mapping[str, Any] = json.load(file)
        per_token = _bytes_per_token(config, settings.kv_cache_dtype)
        context = settings.max_model_len or int(config["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sizes = Sizes(context, max(0, cache_bytes) // per_token, settings.max_num_seqs)
    if sizes.tokens < context:
        raise SettingError(
            f"the KV cache of about {max(0, cache_bytes) / GIB:.1f} GiB holds {sizes.tokens:,} tokens, "
            f"one request may have {context:,}: lower SERVE_MAX_MODEL_LEN or give it more "
            "(SERVE_GPU_MEMORY_UTILIZATION, SERVE_CPU_KV_CACHE_GB)"
        )
    return sizes


def _bytes_per_token(config: Mapping[str, Any], cache_dtype: str) -> int:
    """Keys and values of every layer."""
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    each = 1 if cache_dtype.startswith("fp8") else 2
    return 2 * int(config["num_hidden_layers"]) * int(config.get("num_key_value_heads") or heads) * width * each


def weight_bytes(folder: str) -> int:
    """Of the checkpoint's safetensors files."""
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(".safetensors"))


def cache_bytes(settings: ServeSettings, total: int | None) -> int | None:
    """What is left for the cache. total: the GPU's memory in bytes; None: no GPU, the CPU's setting counts."""
    if total is None:
        return None if settings.cpu_kv_cache_gb is None else settings.cpu_kv_cache_gb * GIB
    return int(total * (settings.gpu_memory_utilization or _DEFAULT_SHARE)) - weight_bytes(settings.model)


def gpu_total() -> int | None:
    """Bytes of the first GPU that this process sees, by nvidia-smi; None: there is none. It has met no GPU yet."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    argv = ["nvidia-smi", f"--id={visible}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S)
        return int(answer.stdout.split()[0]) << 20
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return None
