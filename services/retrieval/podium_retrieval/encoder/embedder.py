"""The boundary to whatever turns text into vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Encoded:
    """Unit vectors [n, dimension], and the milliseconds that the encoder worked on them."""

    vectors: npt.NDArray[np.float32]
    ms: float
    refused: Mapping[int, str] = field(default_factory=dict[int, str])
    """Texts of the batch that the encoder does not take, by position, and why; their rows are zero."""


class Encoding(Protocol):
    """A batch under way in an encoder."""

    def ready(self) -> bool:
        """Whether wait would return at once."""
        ...

    def wait(self) -> Encoded:
        """The vectors, once they are there. To be called once.

        Raises:
            EmbedderFailed: expected failures, such as a remote server that does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """The Encoding of an encoder that had nothing to wait for."""

    encoded: Encoded

    def ready(self) -> bool:
        """True."""
        return True

    def wait(self) -> Encoded:
        """See Encoding.wait."""
        return self.encoded


class Embedder(Protocol):
    """prepare may be called from any thread, begin and encode only from the one that owns the encoder."""

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

    @property
    def overlaps(self) -> bool:
        """Whether begin returns while a device works, so that the next batch can be handed to it meanwhile."""
        ...

    def prepare(self, text: str) -> Prepared:
        """A query with the model's instruction before it, cut to the token limit."""
        ...

    def prepare_document(self, text: str) -> Prepared:
        """A document of the corpus, cut to the limit for documents."""
        ...

    def begin(self, batch: Sequence[Prepared]) -> Encoding:
        """Start on a batch. Batches come out in the order in which they were begun.

        Raises:
            EmbedderFailed: see Encoding.wait.
        """
        ...

    def encode(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """Unit vectors, [len(batch), dimension]: begin, and wait.

        Raises:
            EmbedderFailed: see Encoding.wait; also when one text was refused.
        """
        ...

    def warm_up(self, tokens: int) -> int:
        """Do before serving what the first batches of up to `tokens` would otherwise wait for.

        Returns `tokens`, or a few more where those would cost the same.
        """
        ...

    def close(self) -> None: ...
