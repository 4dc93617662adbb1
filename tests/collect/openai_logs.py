"""What tests of the OpenAI formats share: a small exchange, and reading values or recorded logs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex_cli.collect.reading import Reading
from cortex_cli.collect.records import Place, Quarantined
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Interaction, Origin

Read = Callable[..., tuple[list[Any], list[Any], Any]]
FIXTURES = Path(__file__).parent / "fixtures" / "openai"
WHEN = "2026-01-02T03:04:05Z"
USER = {"role": "user", "content": "list files"}
ANSWER = {"role": "assistant", "content": "ls"}
RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1767323045,
    "model": "m-1",
    "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
HERE = Place(Origin("log.jsonl", 1), "shell")


def one(read: Read, value: Any, **options: str) -> Interaction:
    records, bad, _ = read(value, **{"agent": "shell", **options})
    assert not bad
    assert isinstance(records[0], Interaction)
    return records[0]


def reason(read: Read, *values: Any, **options: str) -> str:
    records, bad, _ = read(*values, **{"agent": "shell", **options})
    assert not records
    return str(bad[0].reason)


def recorded(name: str) -> tuple[list[Interaction], list[Quarantined], Reading]:
    reading = Reading(open_source(FIXTURES / name), agent="desk")
    items = list(reading)
    records = [item for item in items if isinstance(item, Interaction)]
    return records, [item for item in items if isinstance(item, Quarantined)], reading


def adds_up(reading: Reading) -> bool:
    return reading.lines == reading.gave + reading.refused + reading.joined + sum(reading.skipped.values())
