"""A random Llama of 2 layers and 16 units, and rows for it."""

from typing import Any

import torch

from cortex_cli.train.batches import Row

__all__ = ["network", "some_rows"]


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
    return LlamaForCausalLM(config).eval()


def some_rows() -> list[Row]:
    ids = [tuple(1 + (n * k) % 30 for k in range(1, 4 + n % 9)) for n in range(40)]
    return [Row(line, ((1 + n % 2, len(line)),), f"x{n}") for n, line in enumerate(ids)]
