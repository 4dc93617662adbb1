import json

import pytest

from cortex_cli.collect.records import BadRecordError, Place
from cortex_cli.collect.turns import INTERRUPTED, Turn, merge_answers, render_turn
from cortex_cli.domain.interactions import Message, Origin

HERE = Place(Origin("log", 3), "coder")
CALLS = '[{"id":"c"}]'
ASKED, CALLED, GAVE = Message("user", "hi"), Message("assistant", "", "", CALLS), Message("tool", "done")
ANSWERED = Message("assistant", "hello")


def test_a_turn_is_its_history_and_work_and_its_answer() -> None:
    before = (Message("system", "be brief"),)
    record = render_turn(Turn(HERE, before, [ASKED, CALLED, GAVE, ANSWERED], {"latency": 2.0}, {"model": "m"}))
    assert record.messages == (*before, ASKED, CALLED, GAVE)
    assert (record.output, record.outcome, record.agent, record.latency) == ("hello", "unknown", "coder", 2.0)
    assert record.id
    assert record.origin.line == 3


@pytest.mark.parametrize("messages", [[], [ASKED], [ASKED, CALLED], [ASKED, CALLED, GAVE]])
def test_a_turn_without_its_answer_is_unfinished(messages: list[Message]) -> None:
    turn = Turn(HERE, (), list(messages))
    assert not turn.ended
    with pytest.raises(BadRecordError, match="unfinished"):
        render_turn(turn)


def test_a_turn_that_is_still_open_is_unfinished() -> None:
    with pytest.raises(BadRecordError, match="unfinished"):
        render_turn(Turn(HERE, (), [ASKED, ANSWERED], open=True))


def test_an_interrupted_turn_is_a_failure_as_far_as_it_went() -> None:
    record = render_turn(Turn(HERE, (), [ASKED, CALLED], interrupted=True))
    assert (record.outcome, record.error, record.output, record.calls) == ("failure", INTERRUPTED, CALLS, CALLS)


def test_an_error_is_an_error_and_not_an_answer() -> None:
    record = render_turn(Turn(HERE, (), [ASKED], error="overloaded"))
    assert (record.outcome, record.error, record.output, record.messages) == ("error", "overloaded", "", (ASKED,))


def test_what_cannot_be_kept_spoils_its_turn() -> None:
    turn = Turn(HERE, (), [ASKED, ANSWERED], fault=BadRecordError("unsupported_content", "an image"))
    assert turn.answering
    with pytest.raises(BadRecordError, match="an image"):
        render_turn(turn)


def test_answers_that_follow_each_other_are_one() -> None:
    merged = merge_answers([ASKED, ANSWERED, CALLED, Message("assistant", "wait", "", '[{"id":"d"}]'), GAVE])
    assert [message.role for message in merged] == ["user", "assistant", "tool"]
    assert merged[1].content == "hello\n\nwait"
    assert [call["id"] for call in json.loads(merged[1].tool_calls)] == ["c", "d"]
