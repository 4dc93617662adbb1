"""What holds for the reading of any source, however bad: used by the fuzz tests and the fuzzing harness."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cortex_cli.collect.formats.llm import FORMAT as LLM
from cortex_cli.collect.reading import Joint, Reading
from cortex_cli.collect.records import Quarantined, Record
from cortex_cli.collect.reports import CollectReport, Counts, Tally
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.store.rows import render_row

FIXTURES = Path(__file__).parent / "fixtures"
# One line of each format that has no producer to record.
OWN: dict[str, dict[str, object]] = {
    "nl2bash-judged": {
        "system": "s",
        "request": "list",
        "prediction": "ls",
        "command_correct": "y",
        "judges": {"A": {"command": "y"}},
    },
    "outcomes": {"task_id": "t-1", "status": "success", "agent": "shell", "quality": 4.5, "duration": 12, "retries": 0},
    "routing": {"task_id": "t-1", "master": "shell", "confidence": 0.9, "task": "list files", "timestamp": 1.7e9},
    "cortex": {"agent": "shell", "messages": [{"role": "user", "content": "hi"}], "output": "ho", "calls": "[]"},
    "feedback": {"target": "t-1", "kind": "score", "score": 4.0, "scale": {"low": 1.0, "high": 5.0}},
    "sharegpt": {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]},
    "alpaca": {"instruction": "say hi", "input": "", "output": "hi", "history": [["a", "b"]]},
    "dpo": {
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "preferred_output": [{"role": "assistant", "content": "ho"}],
        "non_preferred_output": [{"role": "assistant", "content": "hm"}],
    },
}


def recorded_lines() -> list[bytes]:
    """Return the lines of all fixtures, rows of databases as lines too, and one of each other format."""
    return [*_recorded(), *(json.dumps(value).encode() for value in OWN.values())]


def _recorded() -> Iterator[bytes]:
    for path in sorted(FIXTURES.rglob("*.jsonl")):
        yield from path.read_bytes().splitlines()
    assert LLM.read_database is not None
    yield from (json.dumps(value).encode() for value in LLM.read_database(FIXTURES / "llm" / "logs.db"))


def check_content(content: bytes, form: str = "") -> None:
    """Read *content* as a file, twice, and check what holds for every file; *form* '' lets it be recognised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(content)
        first, second = (_read(path, form) for _ in range(2))
    assert first == second


def _read(path: Path, form: str) -> list[tuple[str, str]]:
    joint = Joint()
    reading = Reading(open_source(path), format=form, agent="shell", joint=joint)
    tally = Tally(str)
    records = [*tally.follow("k", reading, Counts()), *tally.follow_joint(joint)]
    _check_report(tally.report(policy="off", stamp="off"), len(records))
    assert reading.lines == reading.gave + reading.refused + reading.joined + sum(reading.skipped.values())
    assert 0 <= reading.offset <= path.stat().st_size or not reading.stands_alone
    for record in records:
        _check_record(record)
    alone = Reading(open_source(path), format=form, agent="shell")
    items = list(alone)
    assert sorted(item.id for item in items if not isinstance(item, Quarantined)) == sorted(map(_id, records))
    assert alone.lines == alone.gave + alone.refused + alone.joined + sum(alone.skipped.values())
    return [(record.id, record.origin.source) for record in records]


def _id(record: Record) -> str:
    return record.id


def _check_report(report: CollectReport, records: int) -> None:
    assert report.lines == report.gave + report.refused + report.joined + sum(report.skipped.values())
    assert report.interactions + report.feedback == records == sum(report.formats.values())
    assert min(report.gave, report.refused, report.joined) >= 0
    assert sum(report.quarantined.values()) >= report.refused


def _check_record(record: Record) -> None:
    """What the rest of the pipeline asks of a record: an id, and that it survives being sent and kept."""
    kind = Interaction if isinstance(record, Interaction) else Feedback
    assert record.id
    row = render_row(record)
    assert msgspec.json.decode(row.body, type=kind) == record
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=kind) == record
    if isinstance(record, Interaction):
        assert record.agent
        for text in (record.calls, record.tools, *(message.tool_calls for message in record.messages)):
            assert not text or json.loads(text) is not None
