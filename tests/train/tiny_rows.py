"""A random Llama of 16 units and 40 rows for it, the same in every process."""

from typing import Any

import torch

from cortex_cli.train.batches import Row


def network(seed: int = 0) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=True,
        pad_token_id=0,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config)


def some_rows() -> list[Row]:
    rows = []
    for n in range(40):
        ids = tuple(1 + (n * k) % 30 for k in range(1, 4 + n % 9))
        rows.append(Row(ids, ((1 + n % 2, len(ids)),), f"x{n}"))
    return rows


def equal_rows(length: int) -> list[Row]:
    """Return 40 rows of *length* ids, of which the first few are not learned, in some rows in two spans."""
    rows = []
    for n in range(40):
        ids = tuple(1 + (n * 7 + k * (1 + n % 5)) % 30 for k in range(length))
        spans = ((2 + n % 4, length),) if n % 3 else ((1, 4), (6, length - n % 2))
        rows.append(Row(ids, spans, f"e{n}"))
    return rows
