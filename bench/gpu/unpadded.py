"""sentence-transformers' own unpadded batches (`unpad_inputs`) with FlashAttention, beside Podium's packed encoder.

The package flash-attn where it is installed; else the FlashAttention-2 kernel that torch carries, under flash-attn's
name, for flash-attn is source alone and takes an hour to compile. On a CPU, to try the plumbing, each sequence in turn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer
from transformers import modeling_flash_attention_utils as flash
from transformers.utils.import_utils import is_flash_attn_2_available

NAME = "flash_attention_2"


def unpad(model: SentenceTransformer) -> str:
    """Let the model flatten its batches; whose kernel computes their attention.

    Raises:
        RuntimeError: sentence-transformers pads all the same.
    """
    transformer: Any = model[0]
    if is_flash_attn_2_available():
        kernel = "flash-attn"
        transformer.model.set_attn_implementation(NAME)
    else:
        kernel = "torch's FlashAttention-2" if next(model.parameters()).is_cuda else "one by one"
        flash._lazy_imports = lambda *_, **__: (None, _varlen, None, None, None)
        flash._loaded_implementation = None
        transformer.model.config._attn_implementation = NAME  # its setter would look for the package
    transformer.unpad_inputs = True
    if not transformer.can_flatten_inputs:
        raise RuntimeError("sentence-transformers does not flatten this model's inputs")
    return kernel


def features_of(model: SentenceTransformer, texts: Sequence[str]) -> dict[str, Any]:
    """A batch as the model's forward takes it, on its device: tokens of all texts in one row."""
    device = next(model.parameters()).device
    made = model.preprocess(list(texts))
    return {name: one.to(device) if isinstance(one, torch.Tensor) else one for name, one in made.items()}


@torch.inference_mode()
def encode(model: SentenceTransformer, features: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Unit vectors [n, dimension] of a batch."""
    return model(dict(features))["sentence_embedding"].float().cpu().numpy()


def _varlen(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float | None = None,
    causal: bool = False,
) -> torch.Tensor:
    """flash-attn's flash_attn_varlen_func: [tokens, heads, size] of all sequences in a row."""
    if q.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        window = (-1, 0) if causal else (-1, -1)
        out = varlen_attn(
            *(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k),
            scale=softmax_scale,
            window_size=window,
            enable_gqa=q.shape[1] > k.shape[1],
        )
        assert isinstance(out, torch.Tensor)
        return out
    parts: list[torch.Tensor] = []
    for start, end in zip(cu_seqlens_q[:-1].tolist(), cu_seqlens_q[1:].tolist(), strict=True):
        one = (part[start:end].transpose(0, 1)[None] for part in (q, k, v))
        parts.append(F.scaled_dot_product_attention(*one, is_causal=causal, scale=softmax_scale, enable_gqa=True)[0])
    return torch.cat(parts, 1).transpose(0, 1)
