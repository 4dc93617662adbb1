"""Text as vectors by a trained encoder: a base with an adapter whose attention looks both ways.

Method: LLM2Vec, BehnamGhader et al. 2024, arXiv:2404.05961. `train.mntp` makes the adapter, with `encoder.json` beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.lora import merge_adapter

__all__ = ["Encoder", "EncoderCard", "load_encoder", "look_both_ways", "pool_states", "save_card"]

_CARD = "encoder.json"
_BATCH_TOKENS = 1 << 13  # padded tokens at once: 8,192 x 768 x 4 bytes = 25 MB per layer of the embedded base


class EncoderCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an adapter needs beside its weights to be an encoder.

    *dimension* is that of its vectors; *hashed* is the share of the hashed vectors' cosine in that of a blend, which
    `models.embedding.embed` makes (0: none).
    """

    pooling: Literal["mean", "last"] = "mean"
    bidirectional: bool = True
    dimension: int
    hashed: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.hashed < 1 or self.dimension < 1:
            raise ValueError("hashed is a share of at least 0 and below 1, dimension above 0")


class Encoder:
    """A base with an adapter that turns texts into vectors."""

    def __init__(self, network: Any, tokenizer: ChatTokenizer, card: EncoderCard) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.card = card
        self.window = int(network.config.max_position_embeddings)

    @property
    def hashed(self) -> float:
        """Return the share of the hashed vectors in what `models.embedding.embed` gives."""
        return self.card.hashed

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (texts, dimension); of a text longer than the context, only its beginning is read.

        Texts of like length share a batch, and padding is never looked at: a vector does not depend on what else is
        embedded, beyond the rounding of float32. An empty text is the zero vector.
        """
        rows = [self.tokenizer.encode(text)[: self.window] for text in texts]
        order = sorted((index for index, row in enumerate(rows) if row), key=lambda index: len(rows[index]))
        vectors = np.zeros((len(texts), self.card.dimension), dtype=np.float32)
        while order:
            size = max(1, _BATCH_TOKENS // len(rows[order[-1]]))  # from the longest on: it tells the width
            chosen, order = order[-size:], order[:-size]
            vectors[chosen] = self._embed_batch([rows[index] for index in chosen])
        return vectors

    @torch.inference_mode()
    def _embed_batch(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        width = len(rows[-1])  # sorted: the last is the longest
        ids = torch.tensor([[*row, *[self.tokenizer.pad] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])  # (rows, width)
        states = self.network.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        found: NDArray[np.float32] = pool_states(states, mask, self.card.pooling).numpy()
        return found


def load_encoder(base: Path, adapter: Path) -> Encoder:
    """Load the model in *base* with the *adapter* merged, ready to embed.

    Raises `UsageError` if the adapter was not trained as an encoder, `IntegrityError` if it does not fit its base.
    """
    path = adapter / _CARD
    if not path.is_file():
        raise UsageError(
            f"adapter '{adapter.name}' has no {_CARD}: it was trained to write, not to embed",
            hint='train one with objective = "mntp"',
            state="nothing was loaded",
        )
    try:
        card = msgspec.json.decode(path.read_bytes(), type=EncoderCard)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"'{path}' cannot be read: {error}", state="nothing was loaded") from error
    network = load_network(base, dtype="float32")
    if network.config.hidden_size != card.dimension:
        raise IntegrityError(
            f"adapter '{adapter.name}' gives {card.dimension} dimensions, its base {network.config.hidden_size}",
            state="nothing was loaded",
        )
    merge_adapter(network, adapter)
    if card.bidirectional:
        look_both_ways(network)
    return Encoder(network, ChatTokenizer(base), card)


def save_card(folder: Path, card: EncoderCard) -> None:
    """Write *card* beside the adapter in *folder*."""
    (folder / _CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card)) + b"\n")


def look_both_ways(network: Any) -> None:
    """Let every token of *network* attend to those after it too; transformers reads it from the configuration."""
    network.config.is_causal = False
    for module in network.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False  # read by fused kernels, which build no mask of their own


def pool_states(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return unit vectors (rows, width) of *states* (rows, length, width) in float32, where *mask* (rows, length) is 1."""
    states = states.float()
    if pooling == "last":
        last = mask.sum(1) - 1
        found = states[torch.arange(len(states), device=states.device), last]
    else:
        found = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(found, dim=1)
