"""Chat text as tokens: prompts and answers in the model's own template."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cortex_cli.domain.digests import digest_bytes
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

__all__ = ["ChatTokenizer", "Dialogue", "digest_tokenizer"]

_Turn = dict[str, Any]


class Dialogue(NamedTuple):
    """An example as token *ids* and the spans [start, end) that the assistant said; *unlearned* of its turns have none."""

    ids: tuple[int, ...]
    said: tuple[tuple[int, int], ...]
    unlearned: int = 0


def digest_tokenizer(folder: Path) -> str:
    """Return the tagged SHA-256 of the tokenizer in *folder*: where two agree, an id is the same token in both."""
    return digest_bytes((folder / "tokenizer.json").read_bytes())


class ChatTokenizer:
    """Turn messages into token ids and back, with the chat template of the model's folder.

    The template is rendered by transformers in its sandbox; *end* is the id that ends an answer.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.folder = folder
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

    def encode_prompt(self, messages: Sequence[Message], tools: str = "") -> list[int]:
        """Return the ids of *messages* up to where the assistant's answer begins; *tools* is JSON in the form of OpenAI."""
        return self.encode(self._render([self._turn(message) for message in messages], self._tools(tools)))

    def encode_dialogue(self, example: Example) -> Dialogue:
        """Return the ids of *example* with its answer, and where in them the assistant speaks.

        Each turn is found by rendering the template up to it and through it. Where the longer text does not begin
        with the shorter, the template shows that turn otherwise once it is past, and it cannot be learned there.
        """
        turns, tools = [self._turn(message) for message in example.messages], self._tools(example.tools)
        prompt = self._render(turns, tools)
        places = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
        found = [self._find(turns[:number], turns[number], tools, prompt) for number in places]
        ids: list[int] = []
        said: list[tuple[int, int]] = []
        done = 0
        for start, end in filter(None, found):
            ids += self.encode(prompt[done:start])
            said.append(self._extend(ids, self.encode(prompt[start:end])))
            done = end
        ids += self.encode(prompt[done:])
        said.append(self._extend(ids, self._encode_last(turns, example, tools, prompt)))
        return Dialogue(tuple(ids[: said[-1][1]]), tuple(said), found.count(None))

    def encode_answer(self, text: str) -> list[int]:
        """Return the ids of an answer, its end token included: the part that is learned."""
        return [*self._inner.encode(text, add_special_tokens=False), self.end]

    def encode(self, text: str) -> list[int]:
        """Return the ids of raw *text*; template markers in it become their tokens."""
        return list(self._inner.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of *ids* without special tokens."""
        return str(self._inner.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _render(self, turns: Sequence[_Turn], tools: list[Any] | None, *, open_: bool = True) -> str:
        return str(
            self._inner.apply_chat_template(list(turns), tools=tools, tokenize=False, add_generation_prompt=open_)
        )

    @property
    def _knows_tools(self) -> bool:
        return "tool_calls" in str(self._inner.chat_template)

    def _tools(self, text: str) -> list[Any] | None:
        return list(json.loads(text)) if text and self._knows_tools else None

    def _turn(self, message: Message) -> _Turn:
        if message.tool_calls:
            return self._calling(message.content, message.tool_calls)
        if message.role == "tool" and not self._knows_tools:  # what a tool answers is told like a request
            return {"role": "user", "content": message.content}
        named = {"name": message.name} if message.name else {}
        return {"role": message.role, "content": message.content, **named}

    def _calling(self, text: str, calls: str) -> _Turn:
        if not self._knows_tools:
            return {"role": "assistant", "content": _tell_calls(text, calls)}
        said = [{"type": "function", "function": call} for call in _read_calls(calls)]
        return {"role": "assistant", "content": "" if text == calls else text, "tool_calls": said}

    def _find(
        self, before: Sequence[_Turn], turn: _Turn, tools: list[Any] | None, whole: str
    ) -> tuple[int, int] | None:
        from jinja2 import TemplateError

        if not before:
            return None
        try:
            start, end = self._render(before, tools), self._render([*before, turn], tools, open_=False)
        except TemplateError:  # a template may refuse a dialogue that the assistant opens
            return None
        return (len(start), len(end)) if whole.startswith(end) and end.startswith(start) else None

    def _encode_last(self, turns: list[_Turn], example: Example, tools: list[Any] | None, prompt: str) -> list[int]:
        if not example.calls:
            return self.encode_answer(example.answer)
        if self._knows_tools:
            turn = self._calling(example.answer, example.calls)
            whole = self._render([*turns, turn], tools, open_=False)
            if whole.startswith(prompt):
                return self.encode(whole[len(prompt) :])
        return self.encode_answer(_tell_calls(example.answer, example.calls))

    def _extend(self, ids: list[int], turn: list[int]) -> tuple[int, int]:
        # What the template puts after the end token, such as a line break, is not said by the assistant.
        start = len(ids)
        ids += turn
        last = len(turn) - turn[::-1].index(self.end) if self.end in turn else len(turn)
        return start, start + last


def _read_calls(calls: str) -> list[dict[str, Any]]:
    # Templates want arguments as an object; at OpenAI they are JSON text.
    read = [call.get("function", call) for call in json.loads(calls)]
    given = [call.get("arguments") or {} for call in read]
    return [
        {"name": call["name"], "arguments": json.loads(value) if isinstance(value, str) else value}
        for call, value in zip(read, given, strict=True)
    ]


def _tell_calls(text: str, calls: str) -> str:
    # The form in which the shipped agents answer, a line for each call.
    lines = [] if text in {"", calls} else [text]
    for call in _read_calls(calls):
        arguments = {"arguments": call["arguments"]} if call["arguments"] else {}
        lines.append(json.dumps({"tool": call["name"], **arguments}, ensure_ascii=False))
    return "\n".join(lines)
