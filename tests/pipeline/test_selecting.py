from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.pipeline.selecting import Selection, Selectors, select_interactions
from cortex_cli.store.journal import Journal

KEY = b"k" * 32
LONG = "an answer that nobody else would give like that"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.db") as journal:
        yield journal


def turn(number: int, *messages: Message, **fields: object) -> Interaction:
    values = {"agent": "a", "time": f"2026-01-{number:02}T00:00:00Z", "output": f"answer {number}", **fields}
    return Interaction(id=f"i-{number}", messages=messages or (Message("user", f"ask {number}"),), **values)  # type: ignore[arg-type]  # fields of a test


def select(journal: Journal, **words: str) -> Selection:
    return select_interactions(journal, Selectors(**words), KEY)


def ids(selection: Selection) -> tuple[list[str], list[str]]:
    return [each.id for each in selection.named], [each.id for each in selection.carriers]


def test_each_selector_finds_its_own(journal: Journal) -> None:
    journal.append([turn(1, aliases=("x",)), turn(2, episode="e"), turn(3, user="u"), turn(4, agent="b")])
    assert ids(select(journal, interaction="i-1")) == ids(select(journal, interaction="x")) == (["i-1"], [])
    assert ids(select(journal, episode="e"))[0] == ["i-2"]
    assert ids(select(journal, user="u"))[0] == ["i-3"]
    assert ids(select(journal, agent="b"))[0] == ["i-4"]
    assert ids(select(journal, before="2026-01-03T00:00:00Z"))[0] == ["i-1", "i-2"]


def test_selectors_combine(journal: Journal) -> None:
    journal.append(
        turn(number, agent="ab"[number % 2], user="uv"[number // 2 % 2], episode="ef"[number // 4 % 2])
        for number in range(1, 17)
    )
    every = [(number, "ab"[number % 2], "uv"[number // 2 % 2], "ef"[number // 4 % 2]) for number in range(1, 17)]
    for words in (
        {"agent": "a", "user": "u"},
        {"episode": "e", "user": "v", "before": "2026-01-09T00:00:00Z"},
        {"agent": "b", "before": "2026-01-09T00:00:00Z"},
        {"interaction": "i-3", "agent": "a"},
        {"interaction": "i-3", "agent": "b", "before": "2026-01-04T00:00:00Z"},
    ):
        expected = [
            f"i-{number}"
            for number, agent, user, episode in every
            if words.get("agent", agent) == agent
            and words.get("user", user) == user
            and words.get("episode", episode) == episode
            and words.get("interaction", f"i-{number}") == f"i-{number}"
            and f"2026-01-{number:02}T00:00:00Z" < words.get("before", "9")
        ]
        assert ids(select(journal, **words))[0] == expected, words


def test_a_later_turn_that_begins_with_the_whole_exchange_carries_it(journal: Journal) -> None:
    ask, reply = Message("user", "pin?"), Message("assistant", "4711")
    system, other = Message("system", "be kind"), Message("system", "be brief")
    journal.append(
        [
            turn(1, system, ask, episode="e", output="4711"),
            turn(2, other, ask, reply, Message("user", "thanks"), episode="e"),
            turn(3, Message("user", "pin?"), episode="e"),
            turn(4, ask, reply, Message("user", "thanks"), episode="f"),
        ]
    )
    found = select(journal, interaction="i-1")
    assert ids(found) == (["i-1"], ["i-2"])
    assert found.names == ("e",)


def test_a_telling_piece_is_enough_and_a_common_word_is_not(journal: Journal) -> None:
    journal.append(
        [
            turn(1, episode="e", output=LONG),
            turn(2, Message("user", "go on"), Message("assistant", LONG), Message("user", "more"), episode="e"),
            turn(3, Message("user", "ask 1"), Message("assistant", "something else"), episode="g"),
            turn(4, Message("user", "yes"), episode="h", output="yes"),
            turn(5, Message("user", "and"), Message("assistant", "yes"), episode="h"),
        ]
    )
    assert ids(select(journal, interaction="i-1"))[1] == ["i-2"]
    assert ids(select(journal, interaction="i-4"))[1] == []


def test_an_episode_has_no_carriers_and_is_refused_from_then_on(journal: Journal) -> None:
    journal.append([turn(1, episode="e", output=LONG), turn(2, Message("assistant", LONG), episode="e")])
    found = select(journal, episode="e")
    assert ids(found) == (["i-1", "i-2"], [])
    assert found.names == ("e",)


def test_age_names_younger_carriers_and_leaves_them(journal: Journal) -> None:
    journal.append([turn(1, episode="e", output=LONG), turn(9, Message("assistant", LONG), episode="e")])
    found = select(journal, before="2026-01-05T00:00:00Z")
    assert (ids(found), found.kept, found.names) == ((["i-1"], []), ("i-9",), ())


def test_nothing_named_is_refused(journal: Journal) -> None:
    with pytest.raises(UsageError, match="nothing was named"):
        select(journal)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    chosen=st.integers(0, 3),
    texts=st.lists(st.sampled_from(["a", "b", LONG, LONG + "!"]), min_size=20, max_size=20),
)
def test_no_turn_that_stays_repeats_a_telling_piece(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], chosen: int, texts: list[str]
) -> None:
    told = iter(texts)
    turns = [
        turn(
            number, *(Message("user", next(told, "end")) for _ in range(length)), episode="e", output=next(told, "end")
        )
        for number, length in enumerate(lengths, 1)
    ]
    with Journal(tmp_path_factory.mktemp("turns") / "journal.db") as journal:
        journal.append(turns)
        named = turns[chosen % len(turns)]
        found = select(journal, interaction=named.id)
    gone = {each.id for each in found.gone}
    pieces = {piece for piece in (named.output, named.messages[-1].content) if len(piece) >= 16}
    for other in turns:
        if other.id not in gone:
            assert pieces.isdisjoint(message.content for message in other.messages)
