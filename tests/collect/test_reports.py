import json
from pathlib import Path
from typing import Any

from cortex_cli.collect.reading import Reading
from cortex_cli.collect.redact import NOT_COVERED, Redactor
from cortex_cli.collect.reports import Tally
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Interaction

KEY = b"k" * 32


def write(path: Path, *values: Any) -> Reading:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return Reading(open_source(path), agent="shell")


def chat(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]}


def test_the_report_adds_up_over_all_sources(tmp_path: Path) -> None:
    tally = Tally(Redactor(KEY))
    readings = [
        write(tmp_path / "a.jsonl", chat("one"), chat("mail a@example.org"), {"messages": []}),
        write(tmp_path / "b.jsonl", {"task_id": "t", "status": "ok", "agent": "dispatch"}),
    ]
    records = list(tally.follow(readings))
    report = tally.report(new=2, known=1)
    assert report.sources == ("a.jsonl", "b.jsonl")
    assert report.lines == 4
    assert report.interactions + report.feedback == len(records) == report.new + report.known == 3
    assert report.quarantined == {"no_answer": 1}
    assert report.formats == {"openai-chat": 2, "outcomes": 1}
    assert report.agents == {"dispatch": 1, "shell": 2}
    assert report.redacted == {"EMAIL": 1}
    assert report.policy == "standard"


def test_what_passes_through_is_redacted_already(tmp_path: Path) -> None:
    tally = Tally(Redactor(KEY))
    (record,) = tally.follow([write(tmp_path / "a.jsonl", chat("mail a@example.org"))])
    assert isinstance(record, Interaction)
    assert record.messages[0].content.startswith("mail <EMAIL_")


def test_samples_name_the_place_and_are_bounded_per_reason(tmp_path: Path) -> None:
    tally = Tally(Redactor(KEY))
    bad: list[Any] = [{"messages": []}] * 10
    list(tally.follow([write(tmp_path / "a.jsonl", chat("one"), *bad, {"messages": ["x"]})]))
    report = tally.report(new=1)
    assert report.quarantined == {"bad_messages": 1, "no_answer": 10}
    assert [(sample.reason, sample.source, sample.line) for sample in report.samples] == [
        ("no_answer", "a.jsonl", 2),
        ("no_answer", "a.jsonl", 3),
        ("no_answer", "a.jsonl", 4),
        ("bad_messages", "a.jsonl", 12),
    ]


def test_a_sample_does_not_quote_personal_data(tmp_path: Path) -> None:
    tally = Tally(Redactor(KEY))
    list(tally.follow([write(tmp_path / "a.jsonl", chat("x"), {"messages": [{"role": "a@example.org"}]})]))
    (sample,) = tally.report(new=1).samples
    assert "a@example.org" not in sample.detail


def test_every_report_says_what_redaction_does_not_cover() -> None:
    assert Tally(Redactor(KEY)).report(new=0).not_covered == NOT_COVERED
