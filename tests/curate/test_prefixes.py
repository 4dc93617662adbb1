from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.columns import PAIR
from cortex_cli.curate.prefixes import find_longer, hash_prefixes, hash_talk
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray

TALK = (
    Message("system", "be brief"),
    Message("user", "a"),
    Message("assistant", "b"),
    Message("user", "c"),
    Message("assistant", "d"),
    Message("user", "e"),
)


def example(messages: tuple[Message, ...], answer: str, **fields: Any) -> Example:
    return Example(
        **{"id": "x", "agent": "shell", "source": "accepted", **fields, "messages": messages, "answer": answer}
    )


def pairs(*examples: Example, flags: list[int] | None = None, rows: list[int] | None = None) -> set[tuple[int, int]]:
    owners, hashes = hash_prefixes([each.messages for each in examples])
    table: dict[str, NDArray[Any]] = {
        "talk": np.array([hash_talk(each) for each in examples], np.uint64),
        "flags": np.array(flags or [0] * len(examples), np.uint8),
    }
    chosen = np.arange(len(examples)) if rows is None else np.array(rows)
    found = find_longer(table, {"row": owners, "talk": hashes}, chosen)
    return {(int(shorter), int(longer)) for shorter, longer in found}


def test_each_turn_of_a_conversation_is_the_beginning_of_the_later_ones() -> None:
    turns = [example(TALK[:2], "b"), example(TALK[:4], "d"), example(TALK, "f")]
    assert pairs(*turns) == {(0, 1), (0, 2), (1, 2)}


def test_another_answer_is_another_conversation() -> None:
    assert pairs(example(TALK[:2], "B"), example(TALK, "f")) == set()


def test_white_space_around_an_answer_does_not_count() -> None:
    assert pairs(example(TALK[:2], " b\n"), example(TALK, "f")) == {(0, 1)}


def test_system_messages_must_be_equal() -> None:
    other = (Message("system", "be polite"), *TALK[1:])
    assert pairs(example(TALK[:2], "b"), example(other, "f")) == set()
    assert pairs(example(TALK[1:2], "b"), example(TALK, "f")) == set()


def test_calls_of_tools_are_what_was_said() -> None:
    calls = '[{"function":{"arguments":"{}","name":"f"},"id":"1","type":"function"}]'
    longer = (TALK[1], Message("assistant", "", tool_calls=calls), Message("tool", "done"))
    assert pairs(example(TALK[1:2], calls, calls=calls), example(longer, "d")) == {(0, 1)}
    assert pairs(example(TALK[1:2], "", calls="[]"), example(longer, "d")) == set()


def test_equal_conversations_and_several_longer_ones_are_all_found() -> None:
    first = example(TALK[:2], "b")
    assert pairs(first, first, example(TALK[:4], "d"), example((*TALK[:3], Message("user", "x")), "y")) == {
        (0, 2),
        (0, 3),
        (1, 2),
        (1, 3),
    }


def test_a_pair_of_answers_is_not_given_up() -> None:
    assert pairs(example(TALK[:2], "b"), example(TALK, "f"), flags=[PAIR, 0]) == set()
    assert pairs(example(TALK[:2], "b"), example(TALK, "f"), flags=[0, PAIR]) == {(0, 1)}


def test_only_rows_that_stand_are_looked_at() -> None:
    turns = [example(TALK[:2], "b"), example(TALK[:4], "d"), example(TALK, "f")]
    assert pairs(*turns, rows=[0, 2]) == {(0, 2)}
    assert pairs(*turns, rows=[0]) == set()


def test_single_turns_have_no_beginnings() -> None:
    owners, hashes = hash_prefixes([TALK[:2], (Message("user", "x"),)])
    assert len(owners) == len(hashes) == 0


roles = st.sampled_from(["user", "assistant"])
talks = st.lists(st.builds(Message, roles, st.sampled_from("ab")), max_size=5).map(tuple)


@given(st.lists(st.tuples(talks, st.sampled_from("ab")), max_size=8))
def test_pairs_are_those_that_comparing_message_by_message_finds(told: list[tuple[tuple[Message, ...], str]]) -> None:
    examples = [example(messages, answer) for messages, answer in told]
    wholes = [(*each.messages, Message("assistant", each.answer)) for each in examples]
    expected = {
        (one, other)
        for one, whole in enumerate(wholes)
        for other, each in enumerate(examples)
        if each.messages[: len(whole)] == whole
    }
    assert pairs(*examples) == expected
