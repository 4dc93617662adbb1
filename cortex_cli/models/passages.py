"""Decoding through a model's own forward pass: whatever transformers loads and keeps a cache for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["PlainDecoder", "PlainPassage"]

_UNBOUNDED = 1 << 30  # a context for models that name none


class PlainDecoder:
    """Any causal language model of transformers; *cell* is what a token's keys and values take in its cache."""

    def __init__(self, network: Any) -> None:
        self.network = network
        config = network.config
        self.context = int(getattr(config, "max_position_embeddings", None) or _UNBOUNDED)
        heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
        width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        self.cell = 2 * int(config.num_hidden_layers) * heads * width * network.dtype.itemsize

    @torch.inference_mode()
    def begin(self, prompts: Sequence[Sequence[int]], room: int) -> tuple["PlainPassage", Tensor]:
        """Read *prompts*, padded on the left as these models expect it; the cache grows by itself."""
        del room
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)  # (rows, longest)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        passage = PlainPassage(self.network, mask.to(self.network.device))
        return passage, passage.forward(ids.to(self.network.device), (mask.cumsum(-1) - 1).clamp(min=0))


class PlainPassage:
    """Rows that a `PlainDecoder` writes: *mask* (rows, places) is 1 where a row has a token."""

    def __init__(self, network: Any, mask: Tensor) -> None:
        self.network = network
        self.mask = mask
        self.cache: Any = None

    def forward(self, ids: Tensor, places: Tensor) -> Tensor:
        """Run *ids* at *places*, (rows, new) both, and return the logits after the last, (rows, vocabulary)."""
        out = self.network(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=places.to(ids.device),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = out.past_key_values
        return out.logits[:, -1].float()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """Append *tokens* (rows,) and return the next logits (rows, vocabulary)."""
        places = self.mask.sum(-1, keepdim=True)
        self.mask = torch.cat([self.mask, torch.ones_like(places)], dim=-1)
        return self.forward(tokens.to(self.mask.device)[:, None], places)

    def keep(self, rows: Tensor) -> None:
        """Let all rows leave but those at these places."""
        self.mask = self.mask[rows]
        self.cache.batch_select_indices(rows)
