"""Features: numbers and labels of a task and its worker, and not a word of what was said."""

import msgspec
import pytest

from cortex_cli.curate.features import FEATURE_COLUMNS, find_features
from cortex_cli.domain.interactions import Interaction, Message, Scale

TASK = Interaction(
    id="i-1",
    agent="shell",
    time="2026-01-05T17:04:05Z",
    messages=(Message("system", "be brief"), Message("user", "list the secret files of Ada")),
    output="ls -la",
    variant="shell-0123456789ab",
    outcome="success",
    latency=1.5,
    retries=2,
    tokens_in=12,
    tokens_out=3,
    cost=0.001,
    quality=4.0,
    quality_scale=Scale(1, 5),
    domain="files",
)


def test_every_column_has_a_value_and_no_other_is_there() -> None:
    assert find_features(TASK, keyed="k-1", part="train", accepted=True).keys() == FEATURE_COLUMNS.keys()


def test_features_are_what_they_are_called() -> None:
    found = find_features(TASK, keyed="k-1", part="train", accepted=True)
    assert (found["prompt_words"], found["answer_words"], found["answer_characters"]) == (8, 2, 6)
    assert (found["hour"], found["weekday"], found["language"], found["turns"]) == (17, 0, "en", 1)
    assert (found["retries"], found["latency"], found["quality"], found["accepted"]) == (2, 1.5, 0.75, True)
    assert (found["failed"], found["has_tools"], found["called_tools"]) == (False, False, False)


def test_no_text_is_among_them() -> None:
    assert b"Ada" not in msgspec.json.encode(find_features(TASK, keyed="k-1", part="train", accepted=None))


@pytest.mark.parametrize("time", ["", "yesterday"])
def test_what_is_not_known_is_none(time: str) -> None:
    bare = Interaction(id="i", agent="a", time=time, messages=(), quality=3.0, outcome="error")
    found = find_features(bare, keyed="k", part="", accepted=None)
    assert {found[name] for name in ("hour", "weekday", "retries", "latency", "cost", "quality", "variant")} == {None}
    assert found["failed"] is True
