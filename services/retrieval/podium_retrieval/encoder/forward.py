"""Token ids to vectors by a SentenceTransformer's own modules, padded or packed. Pooling runs in float32."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from podium_retrieval.encoder import packing
from podium_retrieval.encoder.cuda_graphs import GraphCache

Sequences = Sequence[npt.NDArray[np.int64]]


class Forward(Protocol):
    @property
    def packed(self) -> bool: ...

    def __call__(self, sequences: Sequences) -> torch.Tensor:
        """Unit vectors [n, dimension] on the model's device; sequences come sorted by length."""
        ...

    def warm_up(self, tokens: int) -> int:
        """See Embedder.warm_up."""
        ...


def pool_in_float32(model: SentenceTransformer) -> None:
    """Half precision is for the transformer; rounding after the pooling would cost the vectors their unit length."""
    for module in list(model)[1:]:
        module.float()


def _pooled(model: SentenceTransformer, features: dict[str, Any]) -> torch.Tensor:
    """The modules after the transformer (pooling, dense, normalise), in float32, then unit length."""
    features["token_embeddings"] = features["token_embeddings"].float()
    for module in list(model)[1:]:
        features = module(features)
    return torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=-1)


class PaddedForward:
    """What sentence-transformers does itself: one rectangle, padded to the longest."""

    packed = False

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model
        self._left = getattr(model.tokenizer, "padding_side", "right") == "left"
        self._pad = int(getattr(model.tokenizer, "pad_token_id", None) or 0)

    def warm_up(self, tokens: int) -> int:
        """Nothing to do: kernels are chosen by shapes that are not known yet."""
        return tokens

    @torch.inference_mode()
    def __call__(self, sequences: Sequences) -> torch.Tensor:
        longest = max(len(one) for one in sequences)
        ids = np.full((len(sequences), longest), self._pad, np.int64)
        mask = np.zeros((len(sequences), longest), np.int64)
        for row, one in enumerate(sequences):
            place = slice(longest - len(one), None) if self._left else slice(None, len(one))
            ids[row, place] = one
            mask[row, place] = 1
        device = torch.device(self._model.device)
        features: dict[str, Any] = {
            "input_ids": packing.moved(ids, device),
            "attention_mask": packing.moved(mask, device),
        }
        features = self._model[0](features)
        return _pooled(self._model, features)


class PackedForward:
    """All real tokens of a batch in one row; see packing.

    Raises at construction what a model that does not fit raises: the caller falls back.
    """

    packed = True

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        prompt_tokens: int,
        cuda_graphs: bool,
        compile_layers: bool,
        longest_batch_tokens: int,
        longest_text: int,
    ) -> None:
        packing.register()
        self._model = model
        self._transformer: Any = model[0].model  # pyright: ignore[reportAttributeAccessIssue]
        self._transformer.set_attn_implementation(packing.ATTENTION)
        self._causal = any(getattr(one, "is_causal", False) for one in self._transformer.modules())
        self._first_position = _first_position(self._transformer)
        self._prompt_tokens = prompt_tokens
        self._device = torch.device(model.device)
        self._check_window(longest_text)
        if compile_layers:
            for layer in _layers(self._transformer):
                layer.compile(dynamic=True)
        self._graphs: GraphCache | None = None
        if cuda_graphs and self._device.type == "cuda":
            self._graphs = GraphCache(
                self._hidden, longest_batch_tokens, longest_text, self._first_position, self._device
            )

    @torch.inference_mode()
    def _check_window(self, longest_text: int) -> None:
        """One forward that asks each layer whether its window holds the longest text, whatever its configuration says.

        Raises:
            ValueError: one does not.
        """
        probe = np.zeros(1, np.int64)
        batch = packing.pack([probe], first_position=self._first_position, causal=self._causal, device=self._device)
        self._hidden(batch, packed_limit=longest_text)

    @staticmethod
    def undo(model: SentenceTransformer) -> None:
        """Give the model torch's own attention back, if it was taken."""
        transformer: Any = model[0].model  # pyright: ignore[reportAttributeAccessIssue]
        if transformer.config._attn_implementation == packing.ATTENTION:
            transformer.set_attn_implementation("sdpa")

    def warm_up(self, tokens: int) -> int:
        """Capture the graphs of batches up to `tokens`; nothing to do without graphs."""
        return tokens if self._graphs is None else self._graphs.capture_all(tokens)

    def _hidden(self, batch: packing.Packed, **options: int) -> torch.Tensor:
        """Last hidden states [1, tokens, hidden]."""
        return self._transformer(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            packed_offsets=batch.offsets,
            packed_longest=batch.longest,
            packed_groups=batch.groups,
            **options,
        ).last_hidden_state

    @torch.inference_mode()
    def __call__(self, sequences: Sequences) -> torch.Tensor:
        batch = packing.pack(sequences, first_position=self._first_position, causal=self._causal, device=self._device)
        hidden = self._graphs(batch) if self._graphs is not None else self._hidden(batch)
        features: dict[str, Any] = {
            "token_embeddings": hidden,
            "cu_seq_lens_q": batch.offsets,
            "seq_idx": batch.owners,  # without it a mean pooling asks the GPU for them, and waits
            "prompt_length": self._prompt_tokens,
        }
        return _pooled(self._model, features)


def _first_position(transformer: Any) -> int:
    """Position id of a first token: RoBERTa's kin count from padding_idx + 1, all others from 0."""
    for module in transformer.modules():
        padding = getattr(module, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(module, "position_embeddings", None), torch.nn.Embedding):
            return padding + 1
    return 0


def _layers(transformer: Any) -> list[torch.nn.Module]:
    """The repeated blocks of a model: the longest ModuleList in it."""
    lists = [one for one in transformer.modules() if isinstance(one, torch.nn.ModuleList)]
    return list(max(lists, key=len)) if lists else []
