import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.domain.interactions import Feedback, Interaction, Message, Scale

Read = Callable[..., tuple[list[Any], list[Any], Any]]
FOLDER = Path(__file__).parent / "fixtures" / "langfuse"
GENERATION: dict[str, Any] = {
    "id": "g-1",
    "traceId": "t-1",
    "type": "GENERATION",
    "level": "DEFAULT",
    "startTime": "2026-01-02T03:04:05.000Z",
    "endTime": "2026-01-02T03:04:06.500Z",
    "input": [{"role": "user", "content": "list files"}],
    "output": "ls",
    "model": "m-1",
    "traceName": "Shell Agent",
}
SCORE: dict[str, Any] = {"id": "s-1", "traceId": "t-1", "name": "rating", "source": "API", "dataType": "NUMERIC"}


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


def interactions(records: list[Any]) -> list[Interaction]:
    return [record for record in records if isinstance(record, Interaction)]


def one(read: Read, **change: Any) -> Interaction:
    records, bad, _ = read({**GENERATION, **change})
    assert not bad
    assert isinstance(records[0], Interaction)
    return records[0]


def judged(read: Read, **change: Any) -> list[Feedback]:
    records, bad, _ = read({**SCORE, **change})
    assert not bad
    return [record for record in records if isinstance(record, Feedback)]


def reason(read: Read, value: dict[str, Any], **options: str) -> str:
    records, bad, _ = read(value, format="langfuse", **options)
    assert not records
    return str(bad[0].reason)


def test_traces_of_the_sdk_give_an_interaction_per_generation(read: Read) -> None:
    records, bad, reading = read(*lines_of("traces"))
    found = {record.output or record.error: record for record in interactions(records)}
    assert not bad
    assert reading.format == "langfuse"
    assert len(found) == 4
    told = found["It is 18 degrees in Oslo."]
    assert [message.role for message in told.messages] == ["system", "user", "assistant", "tool"]
    assert told.messages[3] == Message("tool", "18 degrees", "get_weather")
    assert (told.agent, told.episode, told.user) == ("weather-agent", "session-1", "user-7")
    assert (told.tokens_in, told.tokens_out, told.cost) == (30, 9, 0.003)
    assert found["rate limit reached"].outcome == "error"
    called = next(record for record in found.values() if record.calls)
    assert json.loads(called.calls)[0]["function"]["name"] == "get_weather"
    assert json.loads(called.tools)[0]["function"]["name"] == "get_weather"
    assert called.tokens_in == 17


def test_observations_and_scores_of_the_storage_export_say_the_same_as_traces(read: Read) -> None:
    traces, _, _ = read(*lines_of("traces"))
    rows, bad, reading = read(*lines_of("observations_v2"), *lines_of("scores"))
    assert not bad
    assert {record.id for record in interactions(rows)} == {record.id for record in interactions(traces)}
    assert {record.id for record in rows} >= {record.id for record in traces}
    assert reading.skipped == {"no_generation": 2}


def test_scores_of_the_sdk_are_judgements_of_all_kinds(read: Read) -> None:
    records, _, _ = read(*lines_of("observations_v2"), *lines_of("scores"))
    told = {record.name: record for record in records if isinstance(record, Feedback) and record.kind != "comment"}
    names = {record.aliases for record in interactions(records)}
    assert (told["helpful"].thumbs, told["verdict"].thumbs) == (True, False)
    assert (told["rating"].score, told["rating"].scale) == (4.5, None)
    assert told["output"].demonstration == "The capital of Norway is Oslo."
    assert told["output"].annotator == "human"
    assert all(any(record.target in aliases for aliases in names) for record in told.values())
    comments = {record.comment for record in records if isinstance(record, Feedback) and record.kind == "comment"}
    assert comments == {"right and short", "mood: satisfied"}


def test_a_score_on_a_session_is_on_an_episode(read: Read) -> None:
    (told,) = judged(read, traceId=None, sessionId="session-1", value=1)
    assert (told.target, told.target_kind) == ("session-1", "episode")


def test_a_score_on_a_trace_of_several_answers_is_on_the_episode(read: Read) -> None:
    second = {**GENERATION, "id": "g-2", "output": "dir"}
    records, _, _ = read(GENERATION, {**SCORE, "value": 4}, second)
    assert [record.aliases for record in interactions(records)] == [("g-1",), ("g-2",)]
    assert (records[2].target, records[2].target_kind) == ("t-1", "episode")


def test_a_trace_of_several_answers_is_named_by_the_one_it_answers_with(read: Read) -> None:
    second = {**GENERATION, "id": "g-2", "output": "dir", "parentObservationId": "root"}
    root = {**GENERATION, "id": "root", "type": "SPAN", "output": "dir"}
    records, _, _ = read({**GENERATION, "parentObservationId": "root"}, second, root)
    assert [record.aliases for record in interactions(records)] == [("g-1",), ("g-2", "t-1")]


def test_the_bounds_of_a_score_are_those_of_its_config(read: Read) -> None:
    config = {"id": "c-1", "name": "rating", "dataType": "NUMERIC", "minValue": 1, "maxValue": 5}
    records, _, _ = read({**SCORE, "value": 4, "configId": "c-1"}, config)
    assert records[0].scale == Scale(1.0, 5.0)


@pytest.mark.parametrize(
    ("change", "kind", "point"),
    [
        ({"dataType": "BOOLEAN", "value": 0}, "boolean", False),
        ({"dataType": "BOOLEAN", "stringValue": "True", "value": 1}, "boolean", True),
        ({"dataType": "CATEGORICAL", "stringValue": "Thumbs up", "value": 0}, "boolean", True),
        ({"dataType": "CATEGORICAL", "value": "polite"}, "comment", "rating: polite"),
        ({"dataType": "TEXT", "stringValue": "too long", "value": 0}, "comment", "too long"),
        ({"dataType": "NUMERIC", "value": 1}, "score", 1.0),
        ({"dataType": "CORRECTION", "stringValue": "ls -l", "value": 0}, "demonstration", "ls -l"),
    ],
)
def test_each_type_of_score_is_its_own_kind_of_judgement(
    read: Read, change: dict[str, Any], kind: str, point: Any
) -> None:
    (told,) = judged(read, **change)
    assert told.kind == kind
    assert point in (told.thumbs, told.score, told.comment, told.demonstration)


@pytest.mark.parametrize(("source", "annotator"), [("ANNOTATION", "human"), ("EVAL", "model"), ("API", "code")])
def test_who_judged_is_told_by_the_source(read: Read, source: str, annotator: str) -> None:
    (told,) = judged(read, source=source, value=1)
    assert told.annotator == annotator


@pytest.mark.parametrize(
    ("subject", "target", "kind"),
    [
        ({"kind": "observation", "id": "g-1", "traceId": "t-1"}, "g-1", "interaction"),
        ({"kind": "trace", "id": "t-9"}, "t-9", "interaction"),
        ({"kind": "session", "id": "x"}, "x", "episode"),
    ],
)
def test_a_subject_is_what_a_score_is_on(read: Read, subject: dict[str, str], target: str, kind: str) -> None:
    (told,) = judged(read, subject=subject, value=1)
    assert (told.target, told.target_kind) == (target, kind)


def test_a_score_on_an_experiment_is_skipped(read: Read) -> None:
    value = {**SCORE, "value": 1, "traceId": None}
    _, bad, reading = read({**value, "datasetRunId": "r"}, {**value, "subject": {"kind": "experiment", "id": "r"}})
    assert not bad
    assert reading.skipped == {"experiment_score": 2}


def test_the_prompt_and_its_version_are_kept(read: Read) -> None:
    record = one(read, promptName="greet", promptVersion=3, release="v9")
    assert record.meta == {"model": "m-1", "prompt": "greet", "prompt_version": "3", "release": "v9"}
    assert (record.agent, record.latency, record.episode) == ("shell-agent", 1.5, "t-1")


def test_a_clock_that_went_back_tells_no_latency(read: Read) -> None:
    assert one(read, endTime="2026-01-02T03:04:04Z").latency is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("list files", (Message("user", "list files"),)),
        ({"messages": [{"role": "user", "content": "hi"}]}, (Message("user", "hi"),)),
        ({"args": [], "kwargs": {"messages": [{"role": "user", "content": "hi"}]}}, (Message("user", "hi"),)),
        ('[{"role": "user", "content": "hi"}]', (Message("user", "hi"),)),
        ({"city": "Oslo"}, (Message("user", '{"city":"Oslo"}'),)),
        ("[INST] hi", (Message("user", "[INST] hi"),)),
    ],
)
def test_inputs_of_all_shapes_are_messages(read: Read, told: Any, expected: tuple[Message, ...]) -> None:
    assert one(read, input=told).messages == expected


def test_old_names_of_usage_are_understood(read: Read) -> None:
    record = one(read, usage={"input": 3, "output": 2, "total": 5, "unit": "TOKENS"}, calculatedTotalCost=0.5)
    assert (record.tokens_in, record.tokens_out, record.cost) == (3, 2, 0.5)
    assert one(read, promptTokens=3, completionTokens=2).tokens_in == 3
    assert one(read, usageDetails='{"input": 4}', costDetails='{"input": 0.25, "output": 0.5}').cost == 0.75


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"input": None, "output": None}, "incomplete_export"),
        ({"output": None}, "no_answer"),
        ({"output": None, "endTime": None}, "unfinished"),
        ({"output": ""}, "no_answer"),
        ({"input": "<truncated due to size exceeding limit>"}, "truncated"),
        ({"output": "It is ...[truncated]"}, "truncated"),
        ({"input": '[{"role": "user", "content": "lis'}, "truncated"),
        ({"input": "@@@langfuseMedia:type=image/png|id=1|source=bytes@@@"}, "unsupported_content"),
        ({"input": [{"role": "user", "content": [{"type": "image_url"}]}]}, "unsupported_content"),
        ({"startTime": "soon"}, "bad_time"),
        ({"usageDetails": "{torn"}, "wrong_type"),
        ({"usageDetails": {"input": -4}}, "bad_number"),
        ({"traceName": None}, "no_agent"),
        ({"userId": ["u"]}, "wrong_type"),
    ],
)
def test_what_cannot_be_learned_from_is_told_by_its_reason(read: Read, change: dict[str, Any], expected: str) -> None:
    assert reason(read, {**GENERATION, **change}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"colour": "green"}, "unknown_row"),
        ({**SCORE, "traceId": None, "value": 1}, "no_target"),
        ({**SCORE, "value": None}, "empty_feedback"),
        ({**SCORE, "value": 2**70}, "bad_number"),
        ({"id": "", "timestamp": "2026-01-02T03:04:05Z", "observations": []}, "missing_field"),
    ],
)
def test_what_is_no_row_is_told_by_its_reason(read: Read, value: dict[str, Any], expected: str) -> None:
    assert reason(read, value, agent="shell") == expected


def test_a_trace_without_observations_is_one_interaction(read: Read) -> None:
    trace = {"id": "t-1", "timestamp": "2026-01-02T03:04:05Z", "name": "a", "sessionId": "s", "tags": [], "latency": 2}
    records, bad, _ = read({**trace, "input": "hi", "output": "hello", "observations": ["o-1"]})
    assert not bad
    assert (records[0].output, records[0].episode, records[0].aliases, records[0].latency) == (
        "hello",
        "s",
        ("t-1",),
        2,
    )
    assert reason(read, {**trace, "input": None, "output": None}) == "incomplete_export"


def test_a_trace_whose_generations_are_lost_is_none_itself(read: Read) -> None:
    trace = {"id": "t-1", "timestamp": "2026-01-02T03:04:05Z", "name": "a", "input": "hi", "output": "hello"}
    records, bad, _ = read({**trace, "observations": [{**GENERATION, "input": None}]})
    assert not records
    assert [item.reason for item in bad] == ["incomplete_export"]


def test_a_trace_downloaded_from_the_ui_is_read_with_its_observations(read: Read) -> None:
    trace = {"id": "t-1", "timestamp": "2026-01-02T03:04:05Z", "name": "a", "userId": "u-1"}
    records, _, _ = read({"trace": trace, "observations": [GENERATION]})
    assert [(record.output, record.user) for record in records] == [("ls", "u-1")]


def test_rows_of_a_trace_lend_their_session_to_its_observations(read: Read) -> None:
    trace = {"id": "t-1", "timestamp": "2026-01-02", "name": "Legacy", "session_id": "s-1", "user_id": "u", "tags": []}
    row = {name: told for name, told in GENERATION.items() if name != "traceName"}
    records, bad, _ = read(row, trace)
    assert not bad
    assert [(record.agent, record.episode, record.user) for record in records] == [("legacy", "s-1", "u")]


def test_ingestion_events_are_merged_whatever_their_order(read: Read) -> None:
    body = {"id": "g-1", "traceId": "t-1", "startTime": "2026-01-02T03:04:05Z", "input": "hi"}
    created = {"id": "e-1", "type": "generation-create", "timestamp": "2026-01-02T03:04:05Z", "body": body}
    ended = {"id": "g-1", "output": "hello", "endTime": "2026-01-02T03:04:07Z", "usage": {"input": 1, "output": 2}}
    updated = {"id": "e-2", "type": "generation-update", "timestamp": "2026-01-02T03:04:07Z", "body": ended}
    score = {"id": "s", "traceId": "t-1", "name": "stars", "value": 0.5}
    scored = {"id": "e-3", "type": "score-create", "timestamp": "2026-01-02T03:04:08Z", "body": score}
    for events in ((created, updated, scored), (scored, updated, created)):
        records, bad, reading = read(*events, agent="shell")
        assert not bad
        assert (records[0].output, records[0].latency, records[0].tokens_out) == ("hello", 2.0, 2)
        assert (records[1].score, records[1].target) == (0.5, "t-1")
        assert reading.joined == 3
