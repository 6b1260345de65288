"""The boundary to whatever turns text into vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text made ready for an encoder: `payload` is the encoder's own (token ids, or the text itself)."""

    n_tokens: int
    payload: Any


class EmbedderFailed(Exception):
    """The encoder could not encode this batch; the next may work."""


class Embedder(Protocol):
    """prepare may be called from any thread, encode only from the one that owns the encoder."""

    @property
    def model(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def packed(self) -> bool:
        """False: a batch costs its longest text times its size, so similar lengths belong together."""
        ...

    def prepare(self, text: str) -> Prepared:
        """A query with the model's instruction before it, cut to the token limit."""
        ...

    def prepare_document(self, text: str) -> Prepared:
        """A document of the corpus, cut to the limit for documents."""
        ...

    def encode(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """Unit vectors, [len(batch), dimension].

        Raises:
            EmbedderFailed: expected failures, such as a remote server that does not answer.
        """
        ...

    def warm_up(self, tokens: int) -> None:
        """Do before serving what the first batches of up to `tokens` would otherwise wait for."""
        ...

    def close(self) -> None: ...
