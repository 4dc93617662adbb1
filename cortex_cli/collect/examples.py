"""What training files have in common: prompts in several forms, and records of examples that nobody observed.

An example was written, not served: its outcome stays unknown and its meta says `supervised`.
"""

from typing import Any

import msgspec

from cortex_cli.collect.records import (
    BadRecordError,
    Place,
    identify,
    identify_feedback,
    parse_messages,
    pick_agent,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Feedback, Interaction, Message

__all__ = [
    "ROLES_OF",
    "base_example",
    "make_example",
    "make_label",
    "make_pair",
    "parse_instruction",
    "parse_prompt",
    "parse_turns",
    "read_tools",
]

# ShareGPT's names of speakers, of https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md and of FastChat.
ROLES_OF = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
    "function_call": "function_call",
}


def base_example(value: dict[str, Any], place: Place, messages: tuple[Message, ...]) -> Interaction:
    """Return an example without its answer: *messages* are the whole prompt."""
    if not any(message.content or message.tool_calls for message in messages):
        raise BadRecordError("no_prompt", "the example has no prompt")
    return Interaction(
        id="",
        agent=pick_agent(value, place, "agent"),
        time="",
        messages=messages,
        tools=read_tools(value.get("tools")),
        origin=place.origin,
        meta={"supervised": "true"},
    )


def make_example(base: Interaction, answer: Message) -> Interaction:
    """Return *base* with its *answer*; raise `BadRecordError` for an empty one."""
    if not (answer.content or answer.tool_calls):
        raise BadRecordError("no_answer", "the answer is empty")
    output = answer.content or answer.tool_calls
    return identify(msgspec.structs.replace(base, output=output, calls=answer.tool_calls))


def make_pair(base: Interaction, chosen: Message, rejected: Message) -> list[Interaction | Feedback]:
    """Return the *rejected* answer as a failure, and the *chosen* one as the demonstration that corrects it."""
    wrong = make_example(msgspec.structs.replace(base, outcome="failure"), rejected)
    right = make_example(base, chosen)
    if (right.output, right.calls) == (wrong.output, wrong.calls):
        raise BadRecordError("same_answers", "the chosen answer is the rejected one")
    told = Feedback(
        id="", target=wrong.id, kind="demonstration", time="", demonstration=right.output, origin=base.origin
    )
    return [wrong, identify_feedback(told)]


def make_label(base: Interaction, answer: Message, label: Any) -> list[Interaction | Feedback]:
    """Return the *answer* with the boolean *label* that was put on it."""
    thumbs = typed(label, bool, "label")
    if thumbs is None:
        raise BadRecordError("no_label", "the example has no label")
    record = make_example(base, answer)
    told = Feedback(id="", target=record.id, kind="boolean", time="", thumbs=thumbs, name="label", origin=base.origin)
    return [record, identify_feedback(told)]


def parse_instruction(value: dict[str, Any]) -> tuple[Message, ...]:
    """Return Alpaca's system, history, instruction and input as messages."""
    system, asked, given = (typed(value.get(key), str, key) or "" for key in ("system", "instruction", "input"))
    history = typed(value.get("history"), list[tuple[str, str]], "history") or []
    past = [turn for asked, told in history for turn in (Message("user", asked), Message("assistant", told))]
    question = "\n".join(part for part in (asked, given) if part)
    lead = [Message("system", system)] if system else []
    return (*lead, *past, *([Message("user", question)] if question else []))


def parse_prompt(value: Any, name: str) -> tuple[Message, ...]:
    """Return the messages of a prompt that is a text or a list of messages."""
    if isinstance(value, str):
        return (Message("user", value),) if value.strip() else ()
    if value is None:
        raise BadRecordError("missing_field", f"{name!r} is missing")
    return parse_messages(value)


def parse_turns(values: Any, name: str) -> tuple[Message, ...]:
    """Turn ShareGPT turns into messages: `from`/`value` or `role`/`content`, tool calls as JSON in the text.

    Calls that follow each other, or a text of the assistant, are one message, as they were before they were told apart.
    """
    told: list[dict[str, Any]] = []
    for number, turn in enumerate(typed(values, list[dict[str, Any]], name) or []):
        role, content = _read_turn(turn, number)
        calls = _read_calls(content, number) if role == "function_call" else []
        if not calls:
            told.append({**turn, "role": role, "content": content})
        elif told and told[-1]["role"] == "assistant":
            told[-1]["tool_calls"] = [*(told[-1].get("tool_calls") or []), *calls]
        else:
            told.append({"role": "assistant", "tool_calls": calls})
    return parse_messages(told)


def read_tools(value: Any) -> str:
    """Return tools, a list or its JSON text, as JSON text; raise `BadRecordError` when it is neither."""
    if not isinstance(value, str):
        return render_json(typed(value, list[dict[str, Any]], "tools"))
    if not value.strip():
        return ""
    try:
        return render_json(typed(msgspec.json.decode(value), list[dict[str, Any]], "tools"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRecordError("not_json", f"tools are no JSON: {error}") from error


def _read_turn(turn: dict[str, Any], number: int) -> tuple[str, Any]:
    speaker = turn.get("from", turn.get("role"))
    role = ROLES_OF.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise BadRecordError("bad_messages", f"message {number} is from {str(speaker)[:80]!r}")
    return role, turn["value"] if "value" in turn else turn.get("content")


def _read_calls(content: Any, number: int) -> list[dict[str, Any]]:
    try:
        told = msgspec.json.decode(content) if isinstance(content, str) else content
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRecordError("not_json", f"message {number} calls a function in no JSON: {error}") from error
    if not told:
        raise BadRecordError("bad_messages", f"message {number} calls no function")
    calls = typed(told if isinstance(told, list) else [told], list[dict[str, Any]], f"message {number} calls") or []
    return [call if "function" in call else {"type": "function", "function": call} for call in calls]
