"""Chat text as tokens: prompts and answers in the model's own template."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Message

__all__ = ["ChatTokenizer"]


class ChatTokenizer:
    """Turn messages into token ids and back, with the chat template of the model's folder.

    The template is rendered by transformers in its sandbox; *end* is the id that ends an answer.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._inner: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not self._inner.chat_template:
            raise UsageError(
                f"'{folder.name}' has no chat template in tokenizer_config.json",
                hint="use an instruction-tuned base, or add a chat_template",
                state="nothing was loaded",
            )
        self.end = int(self._inner.eos_token_id)
        self.pad = int(self._inner.pad_token_id if self._inner.pad_token_id is not None else self.end)
        self.size = len(self._inner)

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of *messages* up to where the assistant's answer begins."""
        plain = [{"role": message.role, "content": message.content} for message in messages]
        text = self._inner.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
        return list(self._inner.encode(text, add_special_tokens=False))

    def encode_answer(self, text: str) -> list[int]:
        """Return the ids of an answer, its end token included: the part that is learned."""
        return [*self._inner.encode(text, add_special_tokens=False), self.end]

    def encode(self, text: str) -> list[int]:
        """Return the ids of raw *text*; template markers in it become their tokens."""
        return list(self._inner.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of *ids* without special tokens."""
        return str(self._inner.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
