"""A tokenizer from scratch: byte-level BPE, so that any text can be written and read back."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from cortex_cli.train.texts import ASSISTANT, END, PAD, SYSTEM, USER

__all__ = ["save_tokenizer", "train_tokenizer"]

# A word takes a leading space or underscore with it, so `flip_coin` is two tokens and not three;
# digits stand alone, as arithmetic wants them.
_PIECES = r"[ _]?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
_SPECIAL = (PAD, USER, ASSISTANT, SYSTEM, END)
# The frame of a tool call is always the same, so it costs two tokens instead of eight.
_FRAME = ('{"tool": "', '"}')
_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}" + SYSTEM + "{{ message['content'] }}" + END + "{% endif %}"
    "{% if message['role'] == 'user' %}" + USER + "{{ message['content'] }}"
    "{% if not loop.last %}" + END + "{% endif %}{% endif %}"
    "{% if message['role'] == 'assistant' %}" + ASSISTANT + "{{ message['content'] }}" + END + "{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)


def train_tokenizer(documents: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train a tokenizer of *vocabulary* tokens, special tokens included, on *documents*."""
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_FRAME),
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in _FRAME])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, context: int) -> None:
    """Write *tokenizer* to *folder* with the chat template, as transformers reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "pad_token": PAD,
        "eos_token": END,
        "additional_special_tokens": [USER, ASSISTANT, SYSTEM],
        "clean_up_tokenization_spaces": False,
        "chat_template": _TEMPLATE,
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
