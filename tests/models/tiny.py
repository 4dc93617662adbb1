"""A random Llama of 2 layers and 32 units, and an adapter for it, as files."""

from collections.abc import Iterable
from pathlib import Path

import torch

from cortex_cli.models.bases import load_network
from cortex_cli.models.lora import attach, save_adapter
from cortex_cli.train.spec import LoraSpec
from cortex_cli.train.tokens import save_tokenizer, train_tokenizer

SHAPE = LoraSpec(rank=2, alpha=4.0, targets=("q_proj", "v_proj"))


def make_base(folder: Path, texts: Iterable[str]) -> Path:
    """Write the model and its tokenizer to *folder* and return it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(list(texts) * 3, 320)
    save_tokenizer(tokenizer, folder, context=128)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path) -> list[Path]:
    """Write a random adapter over *base* to *folder* and return its files."""
    network = load_network(base)
    for parameter in attach(network, SHAPE, seed=0):
        torch.nn.init.normal_(parameter, std=0.1)
    save_adapter(network, folder, SHAPE)
    return sorted(folder.iterdir())
