"""Examples in the words of other trainers: TRL and OpenAI JSONL.

Forms as in https://huggingface.co/docs/trl/dataset_formats and OpenAI's fine-tuning guides. Only the
keys of the chosen form are written: some services refuse a file with the keys of two.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

__all__ = ["FORMS", "export_lines"]


def export_lines(examples: Iterable[Example], form: str) -> Iterator[bytes]:
    """Yield one JSON line per example in *form*; a preference form skips examples without a wrong answer."""
    if form not in FORMS:
        near = difflib.get_close_matches(form, FORMS, n=1)
        suggestion = f", did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"form {form!r} is not known{suggestion} Known: {', '.join(sorted(FORMS))}")
    render = FORMS[form]
    pairs_only = form in {"preference", "openai-preference"}
    return (canonical_json(render(example)) + b"\n" for example in examples if example.rejected or not pairs_only)


def _render_messages(example: Example) -> dict[str, Any]:
    return {"messages": [*_render_prompt(example), _assistant(example.answer)]}


def _render_completion(example: Example) -> dict[str, Any]:
    return {"prompt": _render_prompt(example), "completion": [_assistant(example.answer)]}


def _render_preference(example: Example) -> dict[str, Any]:
    return {
        "prompt": _render_prompt(example),
        "chosen": [_assistant(example.answer)],
        "rejected": [_assistant(example.rejected)],
    }


def _render_openai_preference(example: Example) -> dict[str, Any]:
    return {
        "input": {"messages": _render_prompt(example)},
        "preferred_output": [_assistant(example.answer)],
        "non_preferred_output": [_assistant(example.rejected)],
    }


def _render_prompt(example: Example) -> list[dict[str, Any]]:
    try:
        return [_render_message(message) for message in example.messages]
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"example '{example.id}' has tool calls that are not JSON: {error}",
            hint="cortex dataset verify",
            state="nothing was changed",
        ) from error


def _render_message(message: Message) -> dict[str, Any]:
    rendered: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        rendered["name"] = message.name
    if message.tool_calls:
        rendered["tool_calls"] = msgspec.json.decode(message.tool_calls)
    return rendered


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


FORMS: dict[str, Callable[[Example], dict[str, Any]]] = {
    "messages": _render_messages,
    "completion": _render_completion,
    "preference": _render_preference,
    "openai-preference": _render_openai_preference,
}
