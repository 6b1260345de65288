"""What a captured graph is filled with. Capturing itself needs a GPU; here a stand-in reads the graph's own inputs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_retrieval.encoder import cuda_graphs as graphs
from podium_retrieval.encoder import packing
from podium_retrieval.encoder.cuda_graphs import LARGEST, GraphCache, bucket

CPU = torch.device("cpu")


class Echo(GraphCache):
    """Its graphs give each token's id back as the hidden state."""

    def _capture(self, size: int, longest: int) -> Any:
        static = packing.Packed(
            input_ids=torch.full((1, size), -1),
            position_ids=torch.full((1, size), -1),
            offsets=torch.full((graphs._slots(size),), -1, dtype=torch.int32),
            owners=torch.full((1, size), -1),
            longest=longest,
            groups=(),
        )
        hidden = torch.zeros(1, size, 1)
        replay = SimpleNamespace(replay=lambda: hidden.copy_(static.input_ids[..., None]))
        return graphs._Graph(replay, static, hidden)


def uncaptured(batch: packing.Packed) -> torch.Tensor:
    return -batch.input_ids[..., None].float()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
@settings(deadline=None)
def test_real_tokens_come_first_and_offsets_cover_the_filling(lengths: list[int]) -> None:
    sequences = [np.arange(1, n + 1) for n in sorted(lengths)]
    batch = packing.pack(sequences, first_position=0, causal=False, device=CPU)
    cache = Echo(uncaptured, largest=10_000, longest_text=256, first_position=0, device=CPU)
    hidden = cache(batch)
    tokens = sum(lengths)
    assert hidden.shape == (1, tokens, 1)
    if not cache._graphs:  # too large, too long or too many for a graph: run as it is
        assert torch.equal(hidden, uncaptured(batch))
        assert max(lengths) > 256 or bucket(tokens) > LARGEST or len(lengths) * 4 > tokens
        return
    assert torch.equal(hidden[0, :, 0], batch.input_ids[0].float())
    ((size, longest), made) = next(iter(cache._graphs.items()))
    offsets = made.batch.offsets
    assert size == bucket(tokens)
    assert offsets[: len(lengths) + 1].tolist() == batch.offsets.tolist()
    steps = torch.diff(offsets)
    assert bool((steps >= 0).all())
    assert int(steps.max()) <= longest
    assert int(offsets[-1]) == size
    assert made.batch.position_ids[0, :tokens].tolist() == batch.position_ids[0].tolist()


@given(st.integers(1, 5000))
def test_a_bucket_is_an_eighth_larger_at_most(tokens: int) -> None:
    assert tokens <= bucket(tokens) <= max(tokens * 1.125, tokens + 15)
    assert bucket(bucket(tokens)) == bucket(tokens)


def test_a_batch_fills_the_size_it_is_captured_in() -> None:
    cache = Echo(uncaptured, largest=1000, longest_text=256, first_position=0, device=CPU)
    assert cache.capture_all(270) == 288
    assert max(size for size, _ in cache._graphs) == 288
    assert cache.capture_all(1200) == 1200  # beyond the graphs


class Small(Echo):
    """A GPU with memory for graphs of 100 tokens and less."""

    def _capture(self, size: int, longest: int) -> Any:
        if size > 100:
            raise torch.OutOfMemoryError("out of memory")
        return super()._capture(size, longest)


def test_memory_that_ends_ends_the_sizes_and_not_the_start(caplog: pytest.LogCaptureFixture) -> None:
    cache = Small(uncaptured, largest=1000, longest_text=256, first_position=0, device=CPU)
    assert cache.capture_all(270) == 270
    assert max(size for size, _ in cache._graphs) == 96
    assert "112 tokens" in caplog.text
    batch = packing.pack([np.arange(1, 201)], first_position=0, causal=False, device=CPU)
    assert torch.equal(cache(batch), uncaptured(batch))
