import msgspec
import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction, Message
from cortex_cli.store.rows import Row, batch_rows, render_row


def make(number: int, text: str = "hello") -> Interaction:
    return Interaction(
        id=f"i-{number}", agent="a", time="t", messages=(Message("user", text),), episode="e", aliases=("x", "y")
    )


def test_an_interaction_is_a_row_that_is_looked_up_by_its_names_and_episode() -> None:
    row = render_row(make(1))
    assert row[:5] == ("i-1", "interaction", "a", "t", "e")
    assert row.aliases == ("x", "y")
    assert msgspec.json.decode(row.body, type=Interaction) == make(1)


def test_feedback_is_a_row_of_its_target() -> None:
    record = Feedback(id="f-1", target="chatcmpl-1", kind="comment", time="t", comment="no")
    assert render_row(record)[:5] == ("f-1", "feedback", "", "t", "chatcmpl-1")
    assert render_row(record).aliases == ()


def test_a_record_without_an_id_is_no_row() -> None:
    with pytest.raises(UsageError, match="without an id"):
        render_row(msgspec.structs.replace(make(1), id=""))


def test_batches_end_by_number_and_by_size() -> None:
    assert [len(batch) for batch in batch_rows(make(number) for number in range(4500))] == [2000, 2000, 500]
    large = [make(number, "x" * (9 << 20)) for number in range(3)]
    assert [len(batch) for batch in batch_rows(large)] == [2, 1]
    assert list(batch_rows([])) == []


def test_a_row_without_aliases_need_not_name_them() -> None:
    assert Row("i", "interaction", "a", "t", "", b"{}").aliases == ()
