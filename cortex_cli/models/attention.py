"""Attention for training: causal, without a cache, over padded rows or over sequences packed end to end.

transformers asks a registered function for every layer; what it is asked to do beside (sliding windows) is done or refused.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from cortex_cli.domain.errors import UsageError

__all__ = ["packable", "use_training_attention"]

_NAME = "cortex_training"


def use_training_attention(network: Any) -> bool:
    """Let *network* attend by the function of this module; return whether its classes allow that.

    It takes `segments`, the lengths of packed sequences, as a keyword of the forward pass. Without them rows are
    padded on the right, where causal attention needs no mask.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    if not packable(network):
        return False
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, lambda *_args, **_keywords: None)
    network.set_attn_implementation(_NAME)
    return True


def packable(network: Any) -> bool:
    """Tell whether the classes of *network* leave attention to a registered function."""
    return bool(getattr(network, "_supports_attention_backend", False))


def _attend(  # noqa: PLR0913, PLR0917 - the signature of transformers
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    segments: Sequence[int] | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_others: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention (batch, length, heads, width) of *query* and *key* (batch, heads, length, width)."""
    del attention_mask, dropout  # none is made, and training here uses no dropout
    if softcap is not None or s_aux is not None:
        raise UsageError(
            f"attention of the kind of {type(module).__name__} is not trained here",
            hint="set engine = 'trl' in [train]",
            state="nothing was trained",
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    lengths = list(segments) if segments is not None else [query.shape[2]]
    queries, keys, values = (torch.split(states, lengths, dim=2) for states in (query, key, value))
    mixed = [_attend_one(q, k, v, scale, sliding_window) for q, k, v in zip(queries, keys, values, strict=True)]
    return (torch.cat(mixed, dim=2) if len(mixed) > 1 else mixed[0]).transpose(1, 2).contiguous(), None


def _attend_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    length = query.shape[2]
    seen = torch.ones(length, length, dtype=torch.bool, device=query.device).tril_()
    if window is not None and window < length:
        seen.triu_(1 - window)
    if query.is_cuda:  # the fused kernels of a GPU take the causal form without a mask
        causal = window is None or window >= length
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=None if causal else seen, is_causal=causal, scale=scale, enable_gqa=True
        )
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    mixed: torch.Tensor = _Matrix.apply(query, key, value, ~seen, scale)  # type: ignore[no-untyped-call]
    return mixed


class _Matrix(torch.autograd.Function):
    """softmax(s q k^T) v in the plain matrix form; for short sequences on a CPU it beats the fused kernel.

    Only the probabilities are kept, in the dtype of the states, and every step between works in place.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, hidden: torch.Tensor, scale: float
    ) -> torch.Tensor:
        scores = torch.matmul(query, key.transpose(2, 3)).mul_(scale)  # (B, H, T, T)
        likely = torch.softmax(scores.masked_fill_(hidden, float("-inf")), dim=-1)
        ctx.save_for_backward(query, key, value, likely)
        ctx.scale = scale
        return torch.matmul(likely, value)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, likely = ctx.saved_tensors
        to_value = torch.matmul(likely.transpose(2, 3), grads[0])
        to_likely = torch.matmul(grads[0], value.transpose(2, 3))
        slope = torch.ops.aten._softmax_backward_data  # noqa: SLF001 - what autograd calls
        to_scores = slope(to_likely, likely, -1, likely.dtype).mul_(ctx.scale)
        to_query = torch.matmul(to_scores, key)
        return to_query, torch.matmul(to_scores.transpose(2, 3), query), to_value, None, None
