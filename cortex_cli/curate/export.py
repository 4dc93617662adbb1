"""Examples in the words of other trainers: TRL, OpenAI, ShareGPT and Alpaca, one JSON object per line.

Forms as in https://huggingface.co/docs/trl/dataset_formats, OpenAI's fine-tuning guides and LLaMA-Factory's
`data/README.md`. Only the keys of the chosen form are written: some services refuse a file with the keys of two.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from cortex_cli.curate.toolcalls import answer_message, openai_messages, trl_messages
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.examples import Example

__all__ = ["FORMS", "check_form", "export_lines", "export_rows"]

Row = dict[str, Any]
_COMPARING = ("preference", "kto", "openai-preference")
_FROM: dict[str, str] = {"user": "human", "tool": "observation", "assistant": "gpt"}


def check_form(form: str, known: Iterable[str]) -> str:
    """Return *form* if it is one of *known*; raise `UsageError` with the nearest otherwise."""
    names = sorted(known)
    if form in names:
        return form
    near = difflib.get_close_matches(form, names, n=1)
    suggestion = f", did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"form {form!r} is not known{suggestion} Known: {', '.join(names)}",
        hint="cortex dataset export --help",
        state="nothing was written",
    )


def export_lines(
    examples: Iterable[Example], form: str, *, skipped: Callable[[str], None] = lambda _: None
) -> Iterator[bytes]:
    """Yield JSON lines of *examples* in *form*; *skipped* hears the id of every example that the form cannot hold.

    A preference form holds only examples with a wrong answer, Alpaca only plain turns of text.
    """
    return (canonical_json(row) + b"\n" for row in export_rows(examples, form, skipped=skipped))


def export_rows(
    examples: Iterable[Example], form: str, *, skipped: Callable[[str], None] = lambda _: None
) -> Iterator[Row]:
    """Yield the rows that `export_lines` writes, as plain data."""
    render = FORMS[check_form(form, FORMS)]
    # A pair is an accepted answer once more: only where answers are compared is it something new.
    wanted = examples if form in _COMPARING else (each for each in examples if each.source != "pair")
    return _render_all(wanted, render, skipped)


def _render_all(
    examples: Iterable[Example], render: Callable[[Example], list[Row]], skipped: Callable[[str], None]
) -> Iterator[Row]:
    for example in examples:
        try:
            rows = render(example)
        except msgspec.DecodeError as error:
            raise IntegrityError(
                f"example '{example.id}' has tools or tool calls that are not JSON: {error}",
                hint="cortex dataset verify",
                state="nothing was changed",
            ) from error
        if not rows:
            skipped(example.id)
        yield from rows


def _render_messages(example: Example) -> list[Row]:
    return [{"messages": [*trl_messages(example.messages), _trl_answer(example)], **_trl_tools(example)}]


def _render_completion(example: Example) -> list[Row]:
    return [{"prompt": trl_messages(example.messages), "completion": [_trl_answer(example)], **_trl_tools(example)}]


def _render_preference(example: Example) -> list[Row]:
    if not example.rejected:
        return []
    prompt, chosen = trl_messages(example.messages), [_trl_answer(example)]
    return [{"prompt": prompt, "chosen": chosen, "rejected": [_assistant(example.rejected)], **_trl_tools(example)}]


def _render_kto(example: Example) -> list[Row]:
    prompt, tools = trl_messages(example.messages), _trl_tools(example)
    rows: list[Row] = []
    if example.source != "pair":
        rows.append({"prompt": prompt, "completion": [_trl_answer(example)], "label": True, **tools})
    if example.rejected:
        rows.append({"prompt": prompt, "completion": [_assistant(example.rejected)], "label": False, **tools})
    return rows


def _render_openai(example: Example) -> list[Row]:
    messages = openai_messages((*example.messages, answer_message(example)))
    return [{"messages": messages, **_openai_tools(example)}]


def _render_openai_preference(example: Example) -> list[Row]:
    # Text only: the service knows no tool calls in the two outputs.
    if not example.rejected or example.calls:
        return []
    return [
        {
            "input": {"messages": openai_messages(example.messages), **_openai_tools(example)},
            "preferred_output": [_assistant(example.answer)],
            "non_preferred_output": [_assistant(example.rejected)],
        }
    ]


def _render_sharegpt(example: Example) -> list[Row]:
    system = "\n\n".join(message.content for message in example.messages if message.role == "system")
    turns: list[Row] = []
    for message in trl_messages((*example.messages, answer_message(example))):
        turns += _sharegpt_turns(message)
    row: Row = {"conversations": turns}
    row |= {"system": system} if system else {}
    return [row | ({"tools": example.tools} if example.tools else {})]


def _sharegpt_turns(message: Row) -> list[Row]:
    if message["role"] == "system":
        return []
    calls = [
        {"from": "function_call", "value": canonical_json(call["function"]).decode()}
        for call in message.get("tool_calls", [])
    ]
    text = [{"from": _FROM[message["role"]], "value": message["content"]}] if message["content"] or not calls else []
    return [*text, *calls]


def _render_alpaca(example: Example) -> list[Row]:
    turns = [message for message in example.messages if message.role != "system"]
    roles: list[str] = [message.role for message in turns]
    # Question and answer in turn, ending with a question; no tools, which the form has no place for.
    wanted = ["user", "assistant"] * (len(roles) // 2) + ["user"]
    if roles != wanted or example.calls or any(message.tool_calls for message in turns):
        return []
    system = "\n\n".join(message.content for message in example.messages if message.role == "system")
    history = [[turns[at].content, turns[at + 1].content] for at in range(0, len(turns) - 1, 2)]
    row: Row = {"instruction": turns[-1].content, "input": "", "output": example.answer}
    row |= {"system": system} if system else {}
    return [row | ({"history": history} if history else {})]


def _trl_answer(example: Example) -> Row:
    return trl_messages((answer_message(example),))[0]


def _trl_tools(example: Example) -> Row:
    # JSON text, which TRL parses: as nested columns Arrow would give every tool the parameters of all others.
    return {"tools": example.tools} if example.tools else {}


def _openai_tools(example: Example) -> Row:
    return {"tools": msgspec.json.decode(example.tools)} if example.tools else {}


def _assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}


FORMS: dict[str, Callable[[Example], list[Row]]] = {
    "messages": _render_messages,
    "prompt-completion": _render_completion,
    "preference": _render_preference,
    "kto": _render_kto,
    "openai": _render_openai,
    "openai-preference": _render_openai_preference,
    "sharegpt": _render_sharegpt,
    "alpaca": _render_alpaca,
}
