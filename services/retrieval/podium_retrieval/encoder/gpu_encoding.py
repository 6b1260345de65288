"""A batch under way on a GPU: launched now, waited for later, timed by the GPU's own clock."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from podium_retrieval.encoder.embedder import Encoded


def begin_on_gpu(launch: Callable[[], torch.Tensor], order: Sequence[int], device: torch.device) -> "GpuEncoding":
    """Launch a forward and the copy of its vectors to the host, and return before they are done.

    launch: gives vectors [n, dimension] on `device`, row i being text `order[i]`.
    """
    began: Any = torch.cuda.Event(enable_timing=True)
    ended: Any = torch.cuda.Event(enable_timing=True)
    stream = torch.cuda.current_stream(device)
    began.record(stream)
    vectors = launch()
    # Only a pinned target is copied to without a wait.
    target = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    target.copy_(vectors, non_blocking=True)
    ended.record(stream)
    return GpuEncoding(target, order, began, ended)


@dataclass(frozen=True, slots=True)
class GpuEncoding:
    """See embedder.Encoding. Its time begins when the GPU had done what was launched before."""

    target: torch.Tensor
    order: Sequence[int]
    began: Any
    ended: Any

    def ready(self) -> bool:
        """Whether the vectors have arrived."""
        return bool(self.ended.query())

    def wait(self) -> Encoded:
        """See Encoding.wait."""
        self.ended.synchronize()
        return Encoded(in_order(self.target, self.order), float(self.began.elapsed_time(self.ended)))


def in_order(vectors: torch.Tensor, order: Sequence[int]) -> npt.NDArray[np.float32]:
    """Rows on the host, row i moved to `order[i]`."""
    rows = vectors.numpy()
    moved = np.empty_like(rows)
    moved[list(order)] = rows
    return moved
