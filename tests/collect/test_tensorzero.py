import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.domain.interactions import Feedback, Interaction, Message, Scale

Read = Callable[..., tuple[list[Any], list[Any], Any]]
FOLDER = Path(__file__).parent / "fixtures" / "tensorzero"
TABLES = ("ChatInference", "JsonInference", "ModelInference", "feedback")
INFERENCE, EPISODE = "019b7dba-3b12-7000-8000-000000000002", "019b7dba-3b00-7000-8000-0000000000e0"
ROW: dict[str, Any] = {
    "id": INFERENCE,
    "function_name": "answer",
    "variant_name": "v1",
    "episode_id": EPISODE,
    "input": {"messages": [{"role": "user", "content": "hi"}]},
    "output": [{"type": "text", "text": "hello"}],
    "processing_time_ms": 20,
}


def rows_of(*names: str) -> list[dict[str, Any]]:
    return [json.loads(line) for name in names for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


def one(read: Read, **change: Any) -> Interaction:
    records, bad, _ = read({**ROW, **change})
    assert not bad
    assert isinstance(records[0], Interaction)
    return records[0]


def judged(read: Read, **told: Any) -> Feedback:
    records, bad, _ = read({"inference_id": INFERENCE, **told})
    assert not bad
    assert isinstance(records[0], Feedback)
    return records[0]


def reason(read: Read, value: dict[str, Any]) -> str:
    records, bad, _ = read(value, format="tensorzero")
    assert not records
    return str(bad[0].reason)


def test_tables_together_give_inferences_with_what_their_models_spent(read: Read) -> None:
    records, bad, reading = read(*rows_of(*TABLES))
    called, answered, extracted = [record for record in records if isinstance(record, Interaction)]
    assert not bad
    assert (reading.format, reading.joined) == ("tensorzero", 13)
    assert json.loads(called.calls)[0]["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    assert json.loads(called.tools)[0]["function"]["name"] == "get_weather"
    assert (called.agent, called.episode, called.domain, called.user) == (
        "answer_question",
        EPISODE,
        "weather",
        "user-7",
    )
    assert (called.latency, called.tokens_in, called.cost) == (0.412, 20, 0.002)
    assert [message.role for message in answered.messages] == ["system", "user", "assistant", "tool"]
    assert answered.messages[3] == Message("tool", "18 degrees", "get_weather")
    assert (answered.output, answered.tokens_in, answered.tokens_out, answered.cost) == (
        "It is 18 degrees in Oslo.",
        42,
        9,
        0.5,
    )
    assert answered.meta == {"variant": "baseline", "model": "m-1, m-2", "finish": "length"}
    assert extracted.output == '{"name": "Ann", "age": 7}'
    assert extracted.agent == "extract-data"
    assert extracted.messages[0] == Message("system", '{"language":"en"}')
    assert extracted.messages[1] == Message("user", '{"text":"Ann is 7"}')


def test_feedback_of_all_tables_and_of_the_api_is_read(read: Read) -> None:
    records, _, _ = read(*rows_of(*TABLES))
    told = [record for record in records if isinstance(record, Feedback)]
    assert [(item.name, item.kind, item.target_kind) for item in told] == [
        ("draft_accepted", "boolean", "interaction"),
        ("user_rating", "score", "episode"),
        ("comment", "comment", "episode"),
        ("demonstration", "demonstration", "interaction"),
        ("exact_match", "boolean", "interaction"),
        ("demonstration", "demonstration", "interaction"),
        ("comment", "comment", "episode"),
    ]
    assert [item.annotator for item in told] == ["human", "code", "human", "human", "code", "human", "human"]
    assert (told[1].score, told[1].scale) == (4.5, Scale(1.0, 5.0))
    assert told[3].demonstration == "It is warm in Oslo."
    assert told[5].demonstration == '{"age":8,"name":"Ann"}'


def test_a_row_without_a_timestamp_has_the_moment_of_its_id(read: Read) -> None:
    assert one(read).time == "2026-01-02T08:01:55Z"
    assert one(read, timestamp="2026-01-02 03:04:05").time == "2026-01-02T03:04:05Z"
    assert one(read, id="11111111-1111-4111-8111-111111111111").time == ""
    assert one(read, id="no-uuid").time == ""


def test_columns_are_the_same_as_text_and_as_values(read: Read) -> None:
    as_text = one(read, input=json.dumps(ROW["input"]), output=json.dumps(ROW["output"]))
    assert as_text.id == one(read).id


def test_an_inference_of_the_api_is_read_like_a_row(read: Read) -> None:
    value = {name: told for name, told in ROW.items() if name != "id"}
    records, bad, _ = read({**value, "type": "chat", "inference_id": INFERENCE})
    assert not bad
    assert records[0].aliases == (INFERENCE,)


def test_a_model_row_that_was_exported_twice_was_paid_once(read: Read) -> None:
    model = {"id": "m", "inference_id": INFERENCE, "raw_request": "", "model_name": "m-1", "input_tokens": 7}
    records, _, _ = read(model, ROW, model)
    assert (records[0].tokens_in, records[0].tokens_out, records[0].cost) == (7, None, None)


def test_a_model_row_without_its_inference_is_told(read: Read) -> None:
    records, bad, reading = read(*rows_of("ModelInference"))
    assert not records
    assert [item.reason for item in bad] == ["no_inference"] * 3
    assert (reading.refused, reading.joined) == (3, 0)


def test_tools_that_were_given_with_the_request_are_kept(read: Read) -> None:
    tool = json.dumps({"name": "f", "description": "d", "parameters": {"type": "object"}})
    assert json.loads(one(read, dynamic_tools=[tool]).tools)[0]["function"]["name"] == "f"


@pytest.mark.parametrize(
    ("told", "kind", "point"),
    [
        ({"metric_name": "ok", "value": True}, "boolean", True),
        ({"metric_name": "ok", "value": "false"}, "boolean", False),
        ({"metric_name": "stars", "value": 3}, "score", 3.0),
        ({"metric_name": "stars", "value": "3.5"}, "score", 3.5),
        ({"metric_name": "comment", "value": "good"}, "comment", "good"),
        ({"metric_name": "demonstration", "value": "ls"}, "demonstration", "ls"),
        ({"metric_name": "demonstration", "value": [{"type": "text", "text": "ls"}]}, "demonstration", "ls"),
    ],
)
def test_each_metric_is_its_own_kind_of_judgement(read: Read, told: dict[str, Any], kind: str, point: Any) -> None:
    found = judged(read, **told)
    assert found.kind == kind
    assert point in (found.thumbs, found.score, found.comment, found.demonstration)
    assert found.scale is None


def test_what_an_evaluator_judged_is_a_models_word(read: Read) -> None:
    tags = {"tensorzero::evaluator_inference_id": "x"}
    assert judged(read, metric_name="ok", value=True, tags=tags).annotator == "model"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({**ROW, "input": None}, "incomplete_export"),
        ({**ROW, "input": {"messages": []}}, "incomplete_export"),
        ({**ROW, "input": '{"messages": ['}, "not_json"),
        ({**ROW, "output": ""}, "incomplete_export"),
        ({**ROW, "output": []}, "no_answer"),
        ({**ROW, "output": {"raw": None, "parsed": None}}, "no_answer"),
        ({**ROW, "output": [{"type": "unknown", "data": 1}]}, "unsupported_content"),
        ({**ROW, "input": {"messages": [{"role": "user", "content": [{"type": "file"}]}]}}, "unsupported_content"),
        ({**ROW, "id": None}, "missing_field"),
        ({**ROW, "function_name": "!"}, "no_agent"),
        ({**ROW, "processing_time_ms": -1}, "bad_number"),
        ({**ROW, "tags": [1]}, "wrong_type"),
        ({"metric_name": "m", "inference_id": "", "value": 1}, "missing_field"),
        ({"metric_name": "m", "inference_id": "i", "value": None}, "empty_feedback"),
        ({"metric_name": "m", "inference_id": "i", "value": "nan"}, "bad_number"),
        ({"metric_name": "comment", "inference_id": "i", "value": " "}, "empty_feedback"),
        ({"metric_name": "demonstration", "inference_id": "i", "value": "[torn"}, "not_json"),
        ({"inference_id": "i", "model_name": "m", "raw_request": "", "input_tokens": 1.5}, "bad_number"),
        ({"colour": "green"}, "unknown_row"),
    ],
)
def test_what_cannot_be_learned_from_is_told_by_its_reason(read: Read, value: dict[str, Any], expected: str) -> None:
    assert reason(read, value) == expected
