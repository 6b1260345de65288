"""How many tokens a vLLM server's prefix cache holds, by its own word."""

import re
from typing import Final

import aiohttp

from podium_eval.clock import SYSTEM_CLOCK, Clock

_INFO: Final = re.compile(r"^vllm:cache_config_info\{([^}\n]{0,20000})\}", re.M)
_LABEL: Final = re.compile(r'(\w{1,64})="([^"]{0,200})"')

_ANSWER_LIMIT: Final = 4 << 20
"""Bytes of /metrics that are read: vLLM's own are under 200 kB."""


async def kv_tokens(
    session: aiohttp.ClientSession, address: str, *, timeout_s: float, clock: Clock = SYSTEM_CLOCK
) -> int | None:
    """Tokens in the cache of the server at a base address (with /v1); None when it does not say, in time or at all."""
    url = f"{address.rstrip('/').removesuffix('/v1')}/metrics"
    try:
        async with clock.timeout(timeout_s), session.get(url) as answer:
            if answer.status != 200:
                return None
            text = (await answer.content.read(_ANSWER_LIMIT)).decode(errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
    return read_kv_tokens(text)


def read_kv_tokens(metrics: str) -> int | None:
    """Blocks times their size, summed over the engines of a Prometheus text."""
    total = 0
    for info in _INFO.finditer(metrics):
        labels = dict(_LABEL.findall(info[1]))
        blocks, size = labels.get("num_gpu_blocks", ""), labels.get("block_size", "")
        if blocks.isascii() and blocks.isdigit() and size.isascii() and size.isdigit():
            total += int(blocks) * int(size)
    return total or None
