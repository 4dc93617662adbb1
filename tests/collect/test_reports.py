import json
from pathlib import Path
from typing import Any

import msgspec

from cortex_cli.collect.reading import Joint, Reading
from cortex_cli.collect.records import Quarantined, Record
from cortex_cli.collect.reports import CollectReport, Counts, Tally, add_counts
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Origin


def write(path: Path, *values: Any, joint: Joint | None = None) -> Reading:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return Reading(open_source(path), agent="shell", joint=joint)


def task(number: int, **fields: Any) -> dict[str, Any]:
    return {"task_id": f"t-{number}", "status": "ok", "agent": "shell", **fields}


def upper(text: str) -> str:
    return text.upper()


def follow(tally: Tally, *readings: Reading) -> list[Record]:
    return [record for reading in readings for record in tally.follow(reading.source.name, reading, Counts())]


def report_of(tally: Tally) -> CollectReport:
    return tally.report(policy="standard", stamp="standard/2", not_covered=("much",))


def check(report: CollectReport) -> None:
    assert report.lines == report.gave + report.refused + report.joined + sum(report.skipped.values())


def test_the_report_adds_up_over_all_sources(tmp_path: Path) -> None:
    tally = Tally(upper)
    readings = [
        write(tmp_path / "a.jsonl", task(1), task(2), [3]),
        write(tmp_path / "b.jsonl", {"target": "t-1", "kind": "comment", "comment": "good"}, task(4, agent="dispatch")),
    ]
    records = follow(tally, *readings)
    tally.told.new, tally.told.known = 3, 1
    report = report_of(tally)
    check(report)
    assert report.sources == ("a.jsonl", "b.jsonl")
    assert (report.lines, report.gave, report.refused) == (5, 4, 1)
    assert report.interactions + report.feedback == len(records) == report.new + report.known == 4
    assert sum(report.quarantined.values()) == 1
    assert report.formats == {"cortex": 1, "outcomes": 3}
    assert report.agents == {"dispatch": 1, "shell": 2}
    assert (report.policy, report.stamp, report.not_covered) == ("standard", "standard/2", ("much",))


def test_a_report_is_json() -> None:
    report = report_of(Tally(upper))
    assert msgspec.json.decode(msgspec.json.encode(report), type=CollectReport) == report


def test_samples_name_the_place_and_are_bounded_per_reason_over_all_sources(tmp_path: Path) -> None:
    tally = Tally(upper)
    for name in ("a.jsonl", "b.jsonl"):
        follow(tally, write(tmp_path / name, task(1), [1], [2], "text", *[{"colour": "green"}] * 9))
    report = report_of(tally)
    assert report.quarantined["not_an_object"] == 6
    places = [(sample.source, sample.line) for sample in report.samples if sample.reason == "not_an_object"]
    assert places == [("a.jsonl", 2), ("a.jsonl", 3), ("a.jsonl", 4)]
    assert len(report.samples) == 3 * len(report.quarantined)


def test_what_a_sample_quotes_is_masked(tmp_path: Path) -> None:
    tally = Tally(upper)
    follow(tally, write(tmp_path / "a.jsonl", task(1), ["text"]))
    (sample,) = report_of(tally).samples
    assert sample.detail == sample.detail.upper() != ""


def test_times_to_come_are_kept_and_warned_of(tmp_path: Path) -> None:
    tally = Tally(upper, horizon="2026-01-03T00:00:00Z")
    times = ("2026-01-02T23:00:00Z", "2026-01-03T00:00:01Z", "2062-01-01T00:00:00Z")
    records = follow(tally, write(tmp_path / "a.jsonl", *(task(1, time=time) for time in times)))
    assert len(records) == 3
    assert report_of(tally).warnings == {"time_in_future": 2}


def test_what_was_read_before_counts_as_known_and_unchanged() -> None:
    tally = Tally(upper)
    before = Counts(lines=5, gave=4, refused=1, interactions=3, feedback=1, quarantined={"not_json": 1})
    tally.pass_over("k", "a.jsonl", before)
    report = report_of(tally)
    check(report)
    assert (report.unchanged, report.known, report.lines, report.sources) == (1, 4, 5, ("a.jsonl",))
    assert report.quarantined == {"not_json": 1}


def test_a_source_that_has_grown_counts_as_a_whole_and_not_as_unchanged(tmp_path: Path) -> None:
    tally = Tally(upper)
    tally.pass_over("a.jsonl", "a.jsonl", Counts(lines=5, gave=5, interactions=5))
    follow(tally, write(tmp_path / "a.jsonl", task(1)))
    report = report_of(tally)
    assert (report.unchanged, report.known, report.lines, report.sources) == (0, 5, 6, ("a.jsonl",))


def test_a_reading_that_is_ended_early_counts_what_was_read(tmp_path: Path) -> None:
    tally = Tally(upper)
    counts = Counts()
    records = tally.follow("k", write(tmp_path / "a.jsonl", *map(task, range(50))), counts)
    for _ in range(10):
        next(records)
    records.close()  # type: ignore[attr-defined]  # it is a generator
    report = report_of(tally)
    assert report.lines == report.gave == report.interactions == 10


def test_what_waited_for_another_source_is_counted_once(tmp_path: Path) -> None:
    tally, joint = Tally(upper), Joint()
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    request = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    follow(tally, write(tmp_path / "a.jsonl", request, joint=joint))
    assert list(tally.follow_joint(joint)) == []
    report = report_of(tally)
    check(report)
    assert (report.lines, report.joined, report.refused) == (1, 0, 1)
    assert sum(report.quarantined.values()) == 1


def test_the_last_line_can_be_taken_back() -> None:
    counts = Counts(lines=1, gave=1, interactions=1)
    told = [Quarantined("torn_line", "half", Origin("a", line)) for line in range(2, 7)]
    for number, item in enumerate(told, 2):
        counts.lines, counts.refused = number, number - 1
        counts.refuse(item, item.detail)
    assert [sample.line for sample in counts.samples] == [2, 3, 4]
    less = counts.take_back("torn_line")
    assert (less.lines, less.refused, less.quarantined) == (5, 4, {"torn_line": 4})
    assert [sample.line for sample in less.samples] == [2, 3, 4]
    for _ in range(4):
        less = less.take_back("torn_line")
    assert less == Counts(lines=1, gave=1, interactions=1)


def test_counts_add_up_and_are_left_as_they_were() -> None:
    one = Counts(lines=2, gave=1, joined=1, formats={"a": 1}, skipped={"x": 1})
    two = Counts(lines=3, refused=3, formats={"a": 2, "b": 1}, quarantined={"bad": 3})
    total = add_counts([one, two])
    assert (total.lines, total.gave, total.joined, total.refused) == (5, 1, 1, 3)
    assert (total.formats, total.skipped, total.quarantined) == ({"a": 3, "b": 1}, {"x": 1}, {"bad": 3})
    assert one.formats == {"a": 1}


def test_only_the_first_conflicts_are_shown() -> None:
    tally = Tally(upper)
    for number in range(9):
        tally.told.add_conflict(f"i-{number}", Origin("a.jsonl", number))
    report = report_of(tally)
    assert [(sample.detail, sample.line) for sample in report.conflicting] == [("i-0", 0), ("i-1", 1), ("i-2", 2)]
