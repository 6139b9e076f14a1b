"""Attention over documents that stand end to end in one row: no padding, no dense mask.

transformers asks an attention backend for its mask once in a forward pass. Ours answers with the
layout of the documents, which then reaches every layer the way a mask does, also where a layer is
run again by activation checkpointing. Without a layout (generation, say) it is plain SDPA.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "documents"


class UnsupportedAttentionError(Exception):
    """The model asks for something that this attention does not do."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Lengths of the documents of a row. ``window``: a token sees so many tokens, itself
    included; None: all before it."""

    lengths: tuple[int, ...]
    window: int | None = None

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Yield (length, count) of neighbours of equal length: they share one attention call."""
        return [(length, len(list(same))) for length, same in groupby(self.lengths)]


_layout: ContextVar[Documents | None] = ContextVar("documents", default=None)


@contextmanager
def documents(lengths: tuple[int, ...]) -> Iterator[None]:
    """Inside this context, forward passes treat their one row as documents of these lengths."""
    token = _layout.set(Documents(lengths))
    try:
        yield
    finally:
        _layout.reset(token)


def layout_as_mask(*args: object, **kwargs: object) -> Documents | torch.Tensor | None:
    """Return the mask of transformers' interface: the layout, with the window of a sliding
    layer."""
    layout = _layout.get()
    if layout is None:
        return sdpa_mask(*args, **kwargs)
    if getattr(kwargs.get("config"), "attention_chunk_size", None) is not None:
        raise UnsupportedAttentionError("attention in chunks")
    window = kwargs.get("local_size")
    return replace(layout, window=window) if isinstance(window, int) else layout


@torch.compiler.disable
def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Documents | torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Implement transformers' attention interface: (1, heads, tokens, d) to (1, tokens, heads,
    d)."""
    if not isinstance(attention_mask, Documents):
        kwargs |= {"softcap": softcap, "position_bias": position_bias}
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
    if position_bias is not None or not getattr(module, "is_causal", True):
        raise UnsupportedAttentionError("a position bias, or attention that is not causal")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    pieces = []
    start = 0
    for length, count in attention_mask.runs:
        stop = start + length * count
        q, k, v = (_stack(t[0, :, start:stop], count) for t in (query, key, value))
        mask = _band(length, attention_mask.window, query.device)
        if softcap is None and s_aux is None:
            out = F.scaled_dot_product_attention(
                q, k, v, mask, dropout, mask is None, scale=scale, enable_gqa=_is_grouped(q, k)
            )
        else:
            out = _attend_in_steps(q, k, v, mask, (scale, dropout, softcap, s_aux))
        pieces.append(out.transpose(1, 2).reshape(1, stop - start, out.shape[1], out.shape[3]))
        start = stop
    return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)), None


def _stack(states: torch.Tensor, count: int) -> torch.Tensor:
    """Return (heads, count x length, d) as (count, heads, length, d), without a copy."""
    return states.unflatten(1, (count, -1)).transpose(0, 1)


def _is_grouped(query: torch.Tensor, key: torch.Tensor) -> bool:
    return query.shape[1] != key.shape[1]


def _band(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """Return the mask of a sliding layer; None if a token sees everything before it."""
    if window is None or length <= window:
        return None
    steps = torch.arange(length, device=device)
    back = steps[:, None] - steps[None, :]
    return (back >= 0) & (back < window)


def _attend_in_steps(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    options: tuple[float, float, float | None, torch.Tensor | None],
) -> torch.Tensor:
    """Attend with a soft cap on the scores or attention sinks, which SDPA does not have."""
    scale, dropout, softcap, sinks = options
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = (t.repeat_interleave(groups, dim=1) for t in (k, v))
    scores = q @ k.transpose(2, 3) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    scores = scores.masked_fill(~mask, float("-inf")).float()
    if sinks is not None:
        sink = sinks.float().reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        share = torch.cat([scores, sink], dim=-1).softmax(-1)[..., :-1]
    else:
        share = scores.softmax(-1)
    return F.dropout(share.to(v.dtype), dropout) @ v


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, layout_as_mask)
