"""CUDA graphs for packed batches: a forward of a thousand launches becomes one.

Below saturation the launches are what a forward waits for. Above it they are hidden behind the work only while their
thread has the interpreter to itself, which it has not while requests are read and answers written.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from podium_retrieval.encoder.packing import Packed

_LOG = logging.getLogger(__name__)
LARGEST: Final = 8192
"""Tokens beyond which the memory of the captured sizes is no longer small beside the encoder's."""
_SHORT: Final = 128
"""Texts up to this length replay a graph with a small attention grid; longer ones share another."""


def bucket(tokens: int) -> int:
    """The captured size that `tokens` are filled up to: an eighth more at most, in steps of 16 at least."""
    step = 16
    while step * 16 < tokens:
        step *= 2
    return -(-tokens // step) * step


@dataclass(slots=True)
class _Graph:
    graph: Any
    batch: Packed
    hidden: torch.Tensor


class GraphCache:
    """Replays the forward of a size captured at its first use; larger batches run as they are.

    A batch is filled up to its bucket by sequences of token 0, whose output is cut off again.
    """

    def __init__(
        self,
        forward: Callable[[Packed], torch.Tensor],
        largest: int,
        longest_text: int,
        first_position: int,
        device: torch.device,
    ) -> None:
        self._forward = forward
        self._largest = min(largest, LARGEST)
        self._longest_text = max(longest_text, _SHORT)
        self._first_position = first_position
        self._device = device
        self._graphs: dict[tuple[int, int], _Graph] = {}
        self._pool: Any = None

    def __call__(self, batch: Packed) -> torch.Tensor:
        """Last hidden states [1, tokens, hidden]; valid until the next call."""
        tokens = batch.input_ids.shape[1]
        size = bucket(tokens)
        longest = _SHORT if batch.longest <= _SHORT else self._longest_text
        fillings = -(-(size - tokens) // _SHORT)
        if size > self._largest or batch.longest > longest or len(batch.offsets) + fillings > _slots(size):
            return self._forward(batch)
        captured = self._graphs.get((size, longest))
        if captured is None:
            captured = self._graphs[size, longest] = self._capture(size, longest)
        self._fill(captured.batch, batch, tokens, size)
        captured.graph.replay()
        return captured.hidden[:, :tokens]

    @torch.inference_mode()
    def capture_all(self, tokens: int) -> int:
        """Capture every size up to `tokens` for short texts, so that no query pays for a capture.

        Returns the tokens of a batch that fills the largest of them, or `tokens` where that is beyond them all.
        Where the GPU's memory ends, so do the sizes.
        """
        size = 0
        while (size := bucket(size + 1)) <= min(self._largest, bucket(tokens)):
            if (size, _SHORT) not in self._graphs:
                try:
                    self._graphs[size, _SHORT] = self._capture(size, _SHORT)
                except torch.OutOfMemoryError as error:
                    _LOG.warning("no memory for CUDA graphs of %d tokens and more: %s", size, error)
                    self._largest = size - 1
        return bucket(tokens) if bucket(tokens) <= self._largest else tokens

    def _fill(self, static: Packed, batch: Packed, tokens: int, size: int) -> None:
        n = len(batch.offsets)
        static.input_ids[:, :tokens].copy_(batch.input_ids, non_blocking=True)
        static.input_ids[:, tokens:].zero_()
        static.position_ids[:, :tokens].copy_(batch.position_ids, non_blocking=True)
        static.position_ids[:, tokens:].fill_(self._first_position)
        rest = torch.arange(1, _slots(size) - n + 1, device=self._device, dtype=torch.int32)
        static.offsets[:n].copy_(batch.offsets, non_blocking=True)
        static.offsets[n:].copy_((rest * _SHORT + tokens).clamp_(max=size), non_blocking=True)

    def _capture(self, size: int, longest: int) -> _Graph:
        positions = torch.full((1, size), self._first_position, dtype=torch.int64, device=self._device)
        ends = torch.arange(_slots(size), dtype=torch.int32, device=self._device)
        static = Packed(
            input_ids=torch.zeros(1, size, dtype=torch.int64, device=self._device),
            position_ids=positions,
            offsets=(ends * _SHORT).clamp_(max=size),
            owners=positions,  # for the pooling, which no graph holds
            longest=longest,
            groups=(),
        )
        stream: Any = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(2):  # lazy initialisation and compilation must not happen inside the capture
                self._forward(static)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            hidden = self._forward(static)
        if self._pool is None:
            self._pool = graph.pool()
        return _Graph(graph, static, hidden)


def _slots(size: int) -> int:
    """Offsets that a graph of this size has room for: texts of four tokens and more, and the filling."""
    return size // 4 + 8
