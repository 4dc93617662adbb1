import json
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.formats.cortex import FORMAT as CORTEX
from cortex_cli.collect.records import BadRecordError, Place
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin, Scale

Read = Callable[..., tuple[list[Any], list[Any], Any]]
WHEN = "2026-01-02T03:04:05Z"
USER = {"role": "user", "content": "list files"}


def one(read: Read, value: Any, **options: str) -> Interaction:
    records, bad, _ = read(value, **{"agent": "shell", **options})
    assert not bad
    assert isinstance(records[0], Interaction)
    return records[0]


def reason(read: Read, value: Any, **options: str) -> str:
    records, bad, _ = read(value, **options)
    assert not records
    return str(bad[0].reason)


class TestCortex:
    interaction: ClassVar[dict[str, Any]] = {
        "agent": "shell",
        "time": WHEN,
        "messages": [USER],
        "output": "ls",
        "outcome": "success",
    }
    feedback: ClassVar[dict[str, Any]] = {"target": "i-1", "kind": "boolean", "thumbs": True, "time": WHEN}

    def test_an_interaction_without_an_id_gets_the_one_of_its_content(self, read: Read) -> None:
        record = one(read, self.interaction)
        assert record.messages == (Message("user", "list files"),)
        assert record.id.startswith("i-")
        assert record == one(read, self.interaction)

    def test_a_given_id_is_kept(self, read: Read) -> None:
        assert one(read, {**self.interaction, "id": "mine"}).id == "mine"

    def test_the_place_is_that_of_this_reading(self, read: Read) -> None:
        told = {**self.interaction, "origin": {"source": "elsewhere", "line": 9}}
        assert one(read, told).origin == Origin("log.jsonl", 1, one(read, told).origin.digest)

    def test_moments_are_brought_to_one_form(self, read: Read) -> None:
        assert one(read, {**self.interaction, "time": "2026-01-02T05:04:05+02:00"}).time == WHEN
        for number in (1767323045, 1767323045000, 1767323045000000, 1767323045000000000):
            assert one(read, {**self.interaction, "time": number}).time == WHEN

    def test_feedback_of_all_kinds_is_read(self, read: Read) -> None:
        records, bad, _ = read(
            self.feedback,
            {"target": "i-1", "kind": "score", "score": 4.5, "scale": {"low": 1, "high": 5}},
            {"target": "i-1", "kind": "comment", "comment": "too slow"},
            {"target": "e-1", "target_kind": "episode", "kind": "demonstration", "demonstration": "ls -l"},
        )
        assert not bad
        assert [record.kind for record in records if isinstance(record, Feedback)] == [
            "boolean",
            "score",
            "comment",
            "demonstration",
        ]
        assert isinstance(records[1], Feedback)
        assert records[1].scale == Scale(1.0, 5.0)
        assert len({record.id for record in records}) == 4

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"ouput": "typo"}, "unknown_field"),
            ({"messages": "text"}, "wrong_type"),
            ({"latency": "fast"}, "wrong_type"),
            ({"outcome": "great"}, "wrong_type"),
            ({"time": "yesterday"}, "bad_time"),
            ({"time": True}, "bad_time"),
            ({"time": 1e300}, "bad_time"),
            ({"agent": "../etc"}, "bad_agent"),
            ({"agent": 7}, "no_agent"),
            ({"tools": "[{"}, "not_json"),
            ({"messages": [{**USER, "tool_calls": "call me"}]}, "not_json"),
            ({"calls": "f()"}, "not_json"),
            ({"tokens_in": -1}, "bad_number"),
            ({"retries": 10**30}, "bad_number"),
        ],
    )
    def test_a_bad_interaction_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {**self.interaction, **change}, format="cortex") == expected

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"thumbs": None}, "empty_feedback"),
            ({"kind": "comment"}, "empty_feedback"),
            ({"kind": "score", "score": 4.0, "scale": {"low": 5, "high": 1}}, "bad_scale"),
            ({"target": ""}, "no_target"),
            ({"kind": "applause"}, "wrong_type"),
            ({"stars": 5}, "unknown_field"),
        ],
    )
    def test_bad_feedback_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {**self.feedback, **change}, format="cortex") == expected

    def test_a_score_without_a_scale_is_kept(self, read: Read) -> None:
        records, bad, _ = read({"target": "i-1", "kind": "score", "score": 4.0})
        assert not bad
        assert (records[0].score, records[0].scale) == (4.0, None)

    def test_every_field_of_an_interaction_passes_through(self, read: Read) -> None:
        told = {
            **self.interaction,
            "id": "mine",
            "calls": "[]",
            "quality": 4.5,
            "quality_scale": {"low": 1.0, "high": 5.0},
            "retries": 2,
            "aliases": ["chatcmpl-1", "t-7"],
            "meta": {"history": "missing"},
        }
        found = msgspec.to_builtins(one(read, told))
        # What is left out of the line is told by its place; defaults stay defaults.
        assert {key: found[key] for key in told} == {**told, "aliases": ("chatcmpl-1", "t-7"), "messages": (USER,)}

    def test_a_stamp_of_redaction_from_outside_is_not_believed(self, read: Read) -> None:
        told = {**self.interaction, "id": "mine", "redaction": "standard/2"}
        assert one(read, told).redaction == ""
        records, _, _ = read({**self.feedback, "id": "f", "redaction": "standard/2"})
        assert records[0].redaction == ""


TEXTS = st.text(max_size=8)
MOMENTS = st.sampled_from(["", WHEN, "2026-02-30T00:00:00Z", "2026-01-02T03:04:05+02:00", "soon"])
LINES = st.fixed_dictionaries(
    {"id": st.sampled_from(["", "mine"]), "agent": st.sampled_from(["shell", "NO", ""]), "time": MOMENTS},
    optional={
        "messages": st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "robot"]), "content": TEXTS})),
        "output": TEXTS,
        "tools": st.sampled_from(["", "[]", "[{"]),
        "tokens_in": st.integers(),
        "latency": st.floats(allow_nan=False, allow_infinity=False),
        "target": TEXTS,
        "kind": st.sampled_from(["boolean", "score", "applause"]),
        "thumbs": st.booleans(),
        "unknown": TEXTS,
        "meta": st.dictionaries(st.sampled_from(["target", "a"]), TEXTS),
    },
)


class TestFastPath:
    @given(LINES)
    def test_it_gives_what_the_parser_gives_or_leaves_the_line_to_it(self, value: dict[str, Any]) -> None:
        place = Place(Origin("log.jsonl", 1), "given")
        line = msgspec.json.encode(value)
        assert CORTEX.decode_line is not None
        found = CORTEX.decode_line(line, place)
        try:
            (expected,) = CORTEX.start().read(msgspec.json.decode(line), place)
        except BadRecordError:
            expected = None
        assert found is None or found == expected

    @given(st.binary(max_size=40))
    def test_no_bytes_make_it_fail(self, data: bytes) -> None:
        assert CORTEX.decode_line is not None
        assert CORTEX.decode_line(data, Place(Origin("log.jsonl", 1), "")) is None

    def test_whole_feedback_takes_it_and_half_of_it_does_not(self) -> None:
        place = Place(Origin("log.jsonl", 7), "")
        assert CORTEX.decode_line is not None
        whole = CORTEX.decode_line(json.dumps({**TestCortex.feedback, "id": "mine"}).encode(), place)
        assert isinstance(whole, Feedback)
        assert (whole.thumbs, whole.origin.line) == (True, 7)
        for change in ({"id": ""}, {"time": "soon"}, {"thumbs": None}, {"target": ""}):
            line = json.dumps({**TestCortex.feedback, "id": "mine", **change}).encode()
            assert CORTEX.decode_line(line, place) is None

    def test_a_whole_record_takes_it(self) -> None:
        line = json.dumps({**TestCortex.interaction, "id": "mine"}).encode()
        assert CORTEX.decode_line is not None
        record = CORTEX.decode_line(line, Place(Origin("log.jsonl", 7), ""))
        assert isinstance(record, Interaction)
        assert (record.id, record.origin.line) == ("mine", 7)


class TestNl2bash:
    row: ClassVar[dict[str, Any]] = {
        "system": "dev",
        "request": "list files",
        "prediction": "ls",
        "command_correct": "y",
        "template_correct": "y",
        "judges": {
            "A": {"command": "y", "template": "y"},
            "B": {"command": "n", "template": "y"},
            "C": {"command": "", "template": ""},
        },
    }

    def test_a_row_is_an_interaction_and_one_judgement_per_judge_who_judged(self, read: Read) -> None:
        records, _, _ = read(self.row, agent="shell")
        interaction = records[0]
        assert isinstance(interaction, Interaction)
        assert (interaction.output, interaction.outcome) == ("ls", "success")
        judged = [record for record in records[1:] if isinstance(record, Feedback)]
        assert [(item.name, item.thumbs, item.annotator) for item in judged] == [
            ("judge-A", True, "human"),
            ("judge-B", False, "human"),
        ]
        assert {item.target for item in judged} == {interaction.id}

    def test_a_wrong_command_is_a_failure_that_is_kept(self, read: Read) -> None:
        assert one(read, {**self.row, "command_correct": "n"}).outcome == "failure"

    def test_an_empty_prediction_is_kept_as_given(self, read: Read) -> None:
        assert one(read, {**self.row, "prediction": ""}).output == ""

    def test_rows_that_repeat_were_judged_apart_and_stay_apart(self, read: Read) -> None:
        records, _, _ = read(self.row, self.row, agent="shell")
        again, _, _ = read(self.row, self.row, agent="shell")
        assert len({record.id for record in records}) == 6
        assert [record.id for record in records] == [record.id for record in again]

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"request": ""}, "missing_field"),
            ({"prediction": None}, "missing_field"),
            ({"prediction": 5}, "wrong_type"),
            ({"judges": ["A"]}, "wrong_type"),
        ],
    )
    def test_a_bad_row_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {**self.row, **change}, agent="shell") == expected
