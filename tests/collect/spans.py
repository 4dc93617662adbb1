"""Spans and log records of OTLP/JSON as tests build them, and how they are read back."""

import json
from pathlib import Path
from typing import Any

from cortex_cli.collect.formats.otel import SpanParser
from cortex_cli.collect.records import Place, Quarantined, Record, Skipped
from cortex_cli.domain.interactions import Feedback, Interaction, Origin

FIXTURES = Path(__file__).with_name("fixtures")
TRACE, SPAN, PARENT = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b173"
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Capital of Norway?"}]}]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "Oslo."}], "finish_reason": "stop"}]
CONTENT = {"gen_ai.input.messages": json.dumps(ASKED), "gen_ai.output.messages": json.dumps(ANSWERED)}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "desk"}


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": pairs(value)}}
    return {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def make_span(told: dict[str, Any], *, span: str = SPAN, parent: str = "", **fields: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": "1767323045000000000", "endTimeUnixNano": "1767323046500000000"}
    ids = {"traceId": TRACE, "spanId": span, "parentSpanId": parent}
    return {**ids, "name": "chat", "kind": 3, **times, "attributes": pairs(told), **fields}


def make_event(name: str, attributes: dict[str, Any] | None = None, time: int = 1767323045) -> dict[str, Any]:
    return {"name": name, "timeUnixNano": str(time * 10**9), "attributes": pairs(attributes or {})}


def make_log(name: str, body: Any = None, *, span: str = SPAN, trace: str = TRACE, **attributes: Any) -> dict[str, Any]:
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    ids = {"traceId": trace, "spanId": span} if trace else {}
    record = {"eventName": name, **ids, "observedTimeUnixNano": 1767323045 * 10**9, "attributes": pairs(told)}
    return {**record, "body": any_value(body)} if body is not None else record


def traces(*spans: dict[str, Any], service: str = "") -> dict[str, Any]:
    resource = {"attributes": pairs({"service.name": service} if service else {})}
    return {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "test"}, "spans": list(spans)}]}]
    }


def logs(*records: dict[str, Any], service: str = "") -> dict[str, Any]:
    resource = {"attributes": pairs({"service.name": service} if service else {})}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": list(records)}]}]}


def parse(*values: dict[str, Any], agent: str = "") -> list[Record | Skipped | Quarantined]:
    parser = SpanParser()
    found: list[Record | Skipped | Quarantined] = []
    for number, value in enumerate(values, 1):
        found += parser.read(value, Place(Origin("log.jsonl", number), agent))
    return [*found, *parser.finish()]


def interactions(*values: dict[str, Any], agent: str = "") -> list[Interaction]:
    found = parse(*values, agent=agent)
    assert not [item for item in found if isinstance(item, Quarantined)], found
    return [item for item in found if isinstance(item, Interaction)]


def feedback(*values: dict[str, Any], agent: str = "") -> list[Feedback]:
    return [item for item in parse(*values, agent=agent) if isinstance(item, Feedback)]


def reasons(*values: dict[str, Any], agent: str = "") -> list[str]:
    return [item.reason for item in parse(*values, agent=agent) if isinstance(item, Quarantined)]


def fixture(name: str) -> list[dict[str, Any]]:
    lines = (FIXTURES / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
