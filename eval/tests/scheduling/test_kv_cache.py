import aiohttp
import pytest
from podium_eval.scheduling.kv_cache import kv_tokens, read_kv_tokens

INFO = 'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="%d",num_gpu_blocks="%s"} 1.0\n'


@pytest.mark.parametrize(
    ("metrics", "tokens"),
    [
        (INFO % (0, "6400"), 102_400),
        (INFO % (0, "6400") + INFO % (1, "100"), 104_000),
        (INFO % (0, "None"), None),
        (INFO % (0, "²"), None),
        ("vllm:cache_config_info{" + "a" * 100_000, None),
        ('vllm:cache_config_info{block_size="16"} 1\n', None),
        ("", None),
    ],
)
def test_blocks_times_their_size(metrics: str, tokens: int | None) -> None:
    assert read_kv_tokens(metrics) == tokens


async def test_a_server_that_is_not_there_says_nothing() -> None:
    async with aiohttp.ClientSession() as session:
        assert await kv_tokens(session, "http://127.0.0.1:1/v1", timeout_s=2.0) is None
