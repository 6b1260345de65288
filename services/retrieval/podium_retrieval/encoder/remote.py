"""An OpenAI-compatible embeddings server as the embedder, such as vLLM's pooling server."""

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from podium_retrieval.encoder.embedder import Done, EmbedderFailed, Encoded, Prepared
from podium_retrieval.errors import StartError
from podium_retrieval.outgoing import NoAnswer, new_session, post, without_key, without_password

_CHARS_PER_TOKEN: Final = 4
"""For the batch budget alone: the server counts for itself."""
_ABOUT_TEXTS: Final = frozenset({400, 413, 422})
"""What servers answer to a text they do not take; 401, 404, 429 and the like are about the whole call."""


class _TextsRefused(EmbedderFailed):
    """The server does not take one of these texts, or all of them together."""


class RemoteEmbedder:
    """POST {address}/embeddings with a list of texts. Cutting by tokens is left to the server.

    vLLM knows `truncate_prompt_tokens`; a server that refuses the field is asked without it. A server that refuses
    one text refuses the whole list: it is then asked again in halves, down to the one text.
    """

    packed = True
    device = "remote"
    dtype = "server's"
    overlaps = False

    def __init__(
        self,
        address: str,
        model: str,
        *,
        instruction: str,
        timeout_s: float,
        max_tokens: int,
        api_key: str | None,
        document_prompt: str = "",
    ) -> None:
        self._session = new_session(api_key)
        self._timeout_s = timeout_s
        self._address = address.rstrip("/") + "/embeddings"
        self._url = without_password(self._address)
        self._key = api_key
        self._instruction = instruction
        self._document_prompt = document_prompt
        self._max_tokens: int | None = max_tokens
        self.model = model
        self.dimension = 0

    def connect(self) -> None:
        """Ask once: learn the dimension, and whether the server cuts.

        Raises:
            StartError: the server does not answer as an embeddings server does.
        """
        try:
            try:
                vectors = self._ask(["dimension"])
            except EmbedderFailed:
                self._max_tokens = None
                vectors = self._ask(["dimension"])
        except EmbedderFailed as error:
            raise StartError(f"RETRIEVAL_EMBEDDER: {error}") from error
        self.dimension = int(vectors.shape[1])

    def prepare(self, text: str) -> Prepared:
        """A query with its instruction; its tokens are an estimate."""
        whole = self._instruction + text
        return Prepared(len(whole) // _CHARS_PER_TOKEN + 1, whole)

    def prepare_document(self, text: str) -> Prepared:
        """A document with its prompt; its tokens are an estimate."""
        whole = self._document_prompt + text
        return Prepared(len(whole) // _CHARS_PER_TOKEN + 1, whole)

    def begin(self, batch: Sequence[Prepared]) -> Done:
        """See Embedder.begin; done when it returns."""
        start = time.perf_counter()
        vectors = np.zeros((len(batch), self.dimension), np.float32)
        refused: dict[int, str] = {}
        self._fill(vectors, [one.payload for one in batch], 0, refused)
        return Done(Encoded(vectors, (time.perf_counter() - start) * 1e3, refused))

    def encode(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """See Embedder.encode."""
        encoded = self.begin(batch).encoded
        for at, why in encoded.refused.items():
            raise EmbedderFailed(f"{why}; the text begins {batch[at].payload[:60]!r}")
        return encoded.vectors

    def warm_up(self, tokens: int) -> int:
        """The server's own business."""
        return tokens

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _fill(
        self, vectors: npt.NDArray[np.float32], texts: Sequence[str], start: int, refused: dict[int, str]
    ) -> None:
        """Vectors of `texts`, which begin at row `start`; those that the server does not take into `refused`."""
        try:
            got = self._ask(texts)
        except _TextsRefused as error:
            if len(texts) == 1:
                refused[start] = str(error)
                return
            half = len(texts) // 2
            self._fill(vectors, texts[:half], start, refused)
            self._fill(vectors, texts[half:], start + half, refused)
            return
        if got.shape != (len(texts), self.dimension):
            raise EmbedderFailed(f"{self._url} gave vectors of shape {got.shape} to {len(texts)} texts")
        vectors[start : start + len(texts)] = got

    def _ask(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        body: dict[str, Any] = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        if self._max_tokens is not None:
            body["truncate_prompt_tokens"] = self._max_tokens
        try:
            answer = post(self._session, self._address, orjson.dumps(body), self._timeout_s, key=self._key)
        except NoAnswer as error:
            raise EmbedderFailed(f"{self._url}: {error}") from None
        if answer.status != 200:
            kind = _TextsRefused if answer.status in _ABOUT_TEXTS else EmbedderFailed
            words = without_key(answer.content.decode(errors="replace"), self._key)[:200]
            raise kind(f"{self._url} answered {answer.status}: {words}")
        try:
            rows = sorted(orjson.loads(answer.content)["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], np.float32)
            if vectors.ndim != 2:
                raise ValueError("vectors differ in length")
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise EmbedderFailed(f"{self._url} gave no embeddings: {error}") from error
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
            raise EmbedderFailed(f"{self._url} gave a vector without length")
        return vectors / lengths
