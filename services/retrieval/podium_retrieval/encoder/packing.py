"""Sequences of different lengths in one row, without padding, through any transformers model.

The linear layers, which are nearly all of a short text's work, see the real tokens and nothing else. Attention stays
within each sequence: on a GPU by torch's variable-length kernel, on a CPU by padding q, k and v alone, within groups
of similar length.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch.nn.attention import varlen

ATTENTION: Final = "podium_packed"
_VARLEN_KNOWS: Final = frozenset(inspect.signature(varlen.varlen_attn).parameters)
"""torch 2.9 to 2.13 moved causality from a flag to a window and added scale and grouped heads one by one."""
_GROUP_FILL: Final = 0.8
"""A CPU group's shortest sequence is at least this share of its longest: below it, padding costs more than a call."""


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring sequences of similar length: tokens `start` to `end` of the row, padded to [n, length]."""

    start: int
    end: int
    n: int
    length: int
    index: torch.Tensor | None
    """Where each token lies in the padded [n·length]; None when all are equally long."""
    mask: torch.Tensor | None
    """[n, 1, 1, length], or [n, 1, length, length] for causal attention."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One row of n sequences. Offsets are int32 [n + 1]; position ids restart with each sequence.

    owners: [1, tokens], the sequence that each token belongs to.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    offsets: torch.Tensor
    owners: torch.Tensor
    longest: int
    groups: tuple[Group, ...]


def pack(
    sequences: Sequence[npt.NDArray[np.int64]], *, first_position: int, causal: bool, device: torch.device
) -> Packed:
    """Put sequences, which should come sorted by length, into one row.

    first_position: the position id of a sequence's first token (RoBERTa's kin do not count from 0).
    """
    lengths = np.fromiter((len(one) for one in sequences), np.int64, len(sequences))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    within = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], lengths)
    groups = () if device.type == "cuda" else _groups(lengths, offsets, within, causal)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    return Packed(
        input_ids=moved(np.concatenate(sequences), device)[None],
        position_ids=moved(within + first_position, device)[None],
        offsets=moved(offsets.astype(np.int32), device),
        owners=moved(owners, device)[None],
        longest=int(lengths.max()),
        groups=groups,
    )


def moved(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """An array as a tensor on `device`, without the wait for its work that a copy from pageable memory is."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _groups(
    lengths: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], within: npt.NDArray[np.int64], causal: bool
) -> tuple[Group, ...]:
    groups: list[Group] = []
    first = 0
    while first < len(lengths):
        last = first + 1
        low = high = int(lengths[first])
        while last < len(lengths):
            length = int(lengths[last])
            if min(low, length) < _GROUP_FILL * max(high, length):
                break
            low, high = min(low, length), max(high, length)
            last += 1
        groups.append(_group(lengths[first:last], int(offsets[first]), int(offsets[last]), within, causal))
        first = last
    return tuple(groups)


def _group(lengths: npt.NDArray[np.int64], start: int, end: int, within: npt.NDArray[np.int64], causal: bool) -> Group:
    n, longest = len(lengths), int(lengths.max())
    if int(lengths.min()) == longest:
        mask = torch.ones(longest, longest, dtype=torch.bool).tril()[None, None] if causal else None
        return Group(start, end, n, longest, None, mask)
    index = within[start:end] + np.repeat(np.arange(n) * longest, lengths)
    real = torch.from_numpy(np.arange(longest)[None] < lengths[:, None])[:, None, None, :]
    if causal:
        real = real & torch.ones(longest, longest, dtype=torch.bool).tril()
    return Group(start, end, n, longest, torch.from_numpy(index), real)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    packed_offsets: torch.Tensor,
    packed_longest: int,
    packed_groups: tuple[Group, ...] = (),
    packed_limit: int | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: [1, heads, tokens, size] in, [1, tokens, heads, size] out.

    Each token sees its whole text. packed_limit: given once at start, the most tokens that any text will have.
    """
    if packed_limit is not None and sliding_window is not None and packed_limit > sliding_window:
        raise ValueError(beyond_window(packed_limit, sliding_window))
    if query.is_cuda:
        causal = bool(getattr(module, "is_causal", False))
        return _varlen(query, key, value, packed_offsets, packed_longest, causal, scaling), None
    repeat = query.shape[1] // key.shape[1]
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
    parts: list[torch.Tensor] = []
    for group in packed_groups:
        out = F.scaled_dot_product_attention(
            *(_padded(one[group.start : group.end], group) for one in (q, k, v)),
            attn_mask=group.mask,
            scale=scaling,
            enable_gqa=repeat > 1,
        ).transpose(1, 2)
        flat = out.reshape(group.n * group.length, *out.shape[2:])
        parts.append(flat if group.index is None else flat[group.index])
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None


def _padded(tokens: torch.Tensor, group: Group) -> torch.Tensor:
    """[tokens, heads, size] -> [n, heads, length, size]"""
    if group.index is not None:
        padded = tokens.new_zeros(group.n * group.length, *tokens.shape[1:])
        tokens = padded.index_copy_(0, group.index, tokens)
    return tokens.reshape(group.n, group.length, *tokens.shape[1:]).transpose(1, 2)


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    offsets: torch.Tensor,
    longest: int,
    causal: bool,
    scaling: float | None,
) -> torch.Tensor:
    repeat = query.shape[1] // key.shape[1]
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
    options: dict[str, Any] = {}
    if scaling is not None and scaling != query.shape[-1] ** -0.5:
        if "scale" in _VARLEN_KNOWS:
            options["scale"] = scaling
        else:
            q = q * (scaling * query.shape[-1] ** 0.5)
    if repeat > 1:
        if "enable_gqa" in _VARLEN_KNOWS:
            options["enable_gqa"] = True
        else:
            k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    if causal:
        if "window_size" in _VARLEN_KNOWS:
            options["window_size"] = (-1, 0)
        else:
            options["is_causal"] = True
    out = varlen.varlen_attn(q, k, v, offsets, offsets, longest, longest, **options)
    assert isinstance(out, torch.Tensor)
    return out[None]


def window(transformer: Any) -> int | None:
    """The most tokens that a text may have for each of its tokens to see it whole; None: any number.

    By what the attention modules will pass; where they pass nothing, by the configuration alone.
    """
    widths = [one.sliding_window for one in transformer.modules() if hasattr(one, "sliding_window")]
    if widths:
        return min((width for width in widths if isinstance(width, int)), default=None)
    config = transformer.config
    kinds = getattr(config, "layer_types", None) or ["sliding_attention", "chunked_attention"]
    limits: list[int] = []
    for kind, name in (("sliding_attention", "sliding_window"), ("chunked_attention", "attention_chunk_size")):
        width = getattr(config, name, None)
        if kind in kinds and isinstance(width, int) and getattr(config, "use_sliding_window", True) is not False:
            limits.append(width)
    return min(limits, default=None)


def beyond_window(tokens: int, width: int) -> str:
    """Why a model is not packed."""
    return f"texts have up to {tokens} tokens and the model's attention reaches over {width} of them"


def register() -> None:
    """Make packed_attention known to transformers under ATTENTION. Harmless when called again."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, packed_attention)
