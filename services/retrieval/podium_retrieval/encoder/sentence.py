"""sentence-transformers as the embedder: the model's own prompts, pooling and normalisation, without padding."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from podium_retrieval.encoder import packing
from podium_retrieval.encoder.embedder import Done, Encoded, Encoding, Prepared
from podium_retrieval.encoder.forward import Forward, PackedForward, PaddedForward, pool_in_float32
from podium_retrieval.encoder.gpu_encoding import begin_on_gpu, in_order
from podium_retrieval.encoder.model_path import resolve_model
from podium_retrieval.encoder.tokens import own_tokenizer
from podium_retrieval.errors import StartError

_LOG = logging.getLogger(__name__)

_PROBES: Final = (
    "short",
    "a query of some more words than that",
    "What is the largest prime factor of the order of the automorphism group of the Petersen graph, and why?",
)
_PROBE_COSINE: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """How the encoder runs. device and dtype are resolved: `auto` is the caller's to decide."""

    model: str
    device: str
    dtype: str
    query_tokens: int
    document_tokens: int
    instruction: str | None = None
    """None: the model's own query prompt."""
    document_prompt: str | None = None
    """None: the model's own document prompt."""
    packing: bool = True
    cuda_graphs: bool = True
    compile: bool = False
    longest_batch_tokens: int = 16_384
    """Graphs are captured no further than this."""


class SentenceEmbedder:
    """Queries and documents to unit vectors. See embedder.Embedder."""

    def __init__(self, model: SentenceTransformer, options: EncoderOptions) -> None:
        self._model = model
        self._options = options
        self.model = options.model
        self.device = options.device
        self.dtype = options.dtype
        dimension = model.get_embedding_dimension()
        if dimension is None:
            raise StartError(f"EMBEDDING_MODEL={options.model} does not say its embedding dimension")
        self.dimension = int(dimension)
        prompts = model.prompts or {}
        own = prompts.get("query") or ""
        self._query_prompt = own if options.instruction is None else options.instruction
        own = prompts.get("document") or prompts.get("passage") or ""
        self._document_prompt = own if options.document_prompt is None else options.document_prompt
        limit = int(model.max_seq_length or options.query_tokens)
        self._longest = min(max(options.query_tokens, options.document_tokens), limit)
        self._queries = own_tokenizer(model, min(options.query_tokens, limit), options.model)
        self._documents = own_tokenizer(model, min(options.document_tokens, limit), options.model)
        self._forward = self._choose_forward()

    @classmethod
    def load(cls, options: EncoderOptions) -> "SentenceEmbedder":
        """Load weights and check the packed forward against the padded one.

        Raises:
            StartError: the model cannot be found or loaded; one line.
        """
        place = resolve_model(options.model)
        try:
            model = SentenceTransformer(
                place, device=options.device, model_kwargs={"dtype": getattr(torch, options.dtype)}
            )
        except Exception as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise StartError(f"EMBEDDING_MODEL={options.model} cannot be loaded: {first}") from error
        model.eval()
        pool_in_float32(model)
        return cls(model, options)

    @property
    def packed(self) -> bool:
        """Whether sequences are packed without padding."""
        return self._forward.packed

    @property
    def parameters(self) -> int:
        """Weights that each token passes through: all but the token embedding table."""
        total = sum(one.numel() for one in self._model.parameters())
        table = self._transformer.get_input_embeddings()
        return total - int(table.weight.numel())

    @property
    def weight_bytes(self) -> int:
        """Bytes of those weights, which each batch reads at least once."""
        return self.parameters * torch.finfo(getattr(torch, self.dtype)).bits // 8

    def prepare(self, text: str) -> Prepared:
        """A query with its instruction as token ids."""
        ids = self._queries.encode(self._query_prompt + text).ids
        return Prepared(len(ids), np.array(ids, np.int64))

    def prepare_document(self, text: str) -> Prepared:
        """A document with the model's document prompt, if it has one, as token ids."""
        ids = self._documents.encode(self._document_prompt + text).ids
        return Prepared(len(ids), np.array(ids, np.int64))

    @property
    def overlaps(self) -> bool:
        """A GPU works by itself."""
        return self.device.startswith("cuda")

    def begin(self, batch: Sequence[Prepared]) -> Encoding:
        """See Embedder.begin; vectors come in the order of `batch`."""
        order = sorted(range(len(batch)), key=lambda at: batch[at].n_tokens)
        sequences = [batch[at].payload for at in order]
        if self.overlaps:
            return begin_on_gpu(lambda: self._forward(sequences), order, torch.device(self.device))
        start = time.perf_counter()
        vectors = in_order(self._forward(sequences), order)
        return Done(Encoded(vectors, (time.perf_counter() - start) * 1e3))

    def encode(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """Unit vectors [n, dimension] in the order of `batch`."""
        return self.begin(batch).wait().vectors

    def warm_up(self, tokens: int) -> int:
        """See Embedder.warm_up."""
        return self._forward.warm_up(tokens)

    def close(self) -> None:
        """Nothing to give back but memory."""

    @property
    def _transformer(self) -> Any:
        return self._model[0].model  # pyright: ignore[reportAttributeAccessIssue]

    def _choose_forward(self) -> Forward:
        PackedForward.undo(self._model)  # an earlier encoder over the same model may have switched it
        padded = PaddedForward(self._model)
        if not self._options.packing:
            return padded
        reason = self._why_not_packed()
        if reason is None:
            probes = sorted((self.prepare(one).payload for one in _PROBES), key=len)
            wanted = padded(probes).cpu().numpy()
            try:
                forward = PackedForward(
                    self._model,
                    prompt_tokens=self._prompt_tokens(),
                    cuda_graphs=self._options.cuda_graphs,
                    compile_layers=self._options.compile,
                    longest_batch_tokens=self._options.longest_batch_tokens,
                    longest_text=self._longest,
                )
                worst = float((forward(probes).cpu().numpy() * wanted).sum(axis=1).min())
            except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
                reason = f"the packed forward failed: {error}"
            else:
                if worst >= _PROBE_COSINE:
                    return forward
                reason = f"packed and padded vectors differ (cosine {worst:.4f})"
        _LOG.warning("sequences are padded, not packed: %s", reason)
        PackedForward.undo(self._model)
        return padded

    def _why_not_packed(self) -> str | None:
        if not getattr(self._transformer, "_supports_attention_backend", False):
            return "the model does not take attention functions"
        if self._options.device.startswith("cuda") and self._options.dtype == "float32":
            return "the GPU's variable-length attention needs float16 or bfloat16"
        width = packing.window(self._transformer)
        if width is not None and self._longest > width:
            return packing.beyond_window(self._longest, width)
        return None

    def _prompt_tokens(self) -> int:
        """Tokens of the query prompt, for models that leave the prompt out of the pooling."""
        if not self._query_prompt:
            return 0
        return max(0, len(self._queries.encode(self._query_prompt).ids) - 1)
