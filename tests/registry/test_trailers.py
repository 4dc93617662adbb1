from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli import __version__
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.registry.trailers import Trailers, check_value, parse_message, render_message, scan_message

User = Callable[..., str]

MOVE = Trailers("promote", "dispatch", "a-000000000001", "b-000000000002", 7, "sha256:" + "0" * 64, "x-1", "human")

LINES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=256).map(str.strip)


def test_a_message_is_a_subject_and_one_paragraph_of_trailers() -> None:
    assert render_message(MOVE) == (
        "promote(dispatch): champion a-000000000001 -> b-000000000002\n"
        "\n"
        "Cortex-Action: promote\n"
        "Cortex-Target: dispatch\n"
        "Cortex-From: a-000000000001\n"
        "Cortex-To: b-000000000002\n"
        "Cortex-Generation: 7\n"
        f"Cortex-Evidence: sha256:{'0' * 64}\n"
        "Cortex-Run-Id: x-1\n"
        "Cortex-Actor: human\n"
        f"Cortex-Version: {__version__}\n"
    )


@pytest.mark.parametrize(
    ("record", "subject"),
    [
        (Trailers("promote", "shell", to="v"), "promote(shell): champion none -> v"),
        (Trailers("rollback", "shell", "w", "v"), "rollback(shell): champion w -> v"),
        (Trailers("train", "shell", to="a-1"), "train(shell): adapter a-1"),
        (Trailers("curate", "shell", "v0001", "calls/v0002"), "curate(shell): dataset v0001 -> calls/v0002"),
        (Trailers("decide", "shell", "x-1", "hold"), "decide(shell): x-1 -> hold"),
        (Trailers("ab", "shell", to="x-1"), "ab(shell): experiment x-1"),
        (Trailers("init", "my workspace"), "init(my workspace): workspace"),
        (Trailers("forget", "shell"), "forget(shell): done"),
    ],
)
def test_the_subject_speaks_the_words_of_the_stage(record: Trailers, subject: str) -> None:
    assert record.subject() == subject


def test_what_is_empty_is_left_out() -> None:
    message = render_message(Trailers("model", "base"))
    assert [line.split(":")[0] for line in message.splitlines()[2:]] == [
        "Cortex-Action",
        "Cortex-Target",
        "Cortex-Version",
    ]


def test_a_generation_of_zero_is_not_empty() -> None:
    assert "Cortex-Generation: 0\n" in render_message(Trailers("agent", "shell", generation=0))


def test_git_itself_reads_the_trailers(user: User) -> None:
    parsed = user("interpret-trailers", "--parse", stdin=render_message(MOVE))
    assert parsed.splitlines() == render_message(MOVE).splitlines()[2:]


@pytest.mark.parametrize(
    "value",
    [
        "one\ntwo",
        "x\nCortex-Action: promote",
        "x\r",
        "tab\there",
        "nul\0",
        "\x1b[31mred",
        "line\u2028separator",
        "next\x85line",
        "right-to-left \u202e override",
        " leading",
        "trailing ",
        "x" * 257,
    ],
)
def test_a_value_that_is_not_one_printable_line_is_refused(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        Trailers("promote", "dispatch", to=value)
    assert "Cortex-To" in caught.value.message
    assert caught.value.state == "nothing was changed"


def test_a_value_of_256_characters_is_allowed() -> None:
    assert check_value("Cortex-To", "x" * 256) == "x" * 256


@pytest.mark.parametrize("action", ["", "Promote", "promote(x)", "a b", "promote:", "x" * 33])
def test_an_action_is_a_plain_word(action: str) -> None:
    with pytest.raises(UsageError):
        Trailers(action, "dispatch")


def test_an_action_needs_a_target() -> None:
    with pytest.raises(UsageError, match="needs a target"):
        Trailers("promote", "")


@given(target=LINES.filter(bool), from_=LINES, to=LINES, evidence=LINES, run_id=LINES, actor=LINES)
def test_what_was_rendered_is_parsed_back(
    target: str, from_: str, to: str, evidence: str, run_id: str, actor: str
) -> None:
    record = Trailers("promote", target, from_, to, 3, evidence, run_id, actor, __version__)
    assert parse_message(render_message(record)) == record


@given(value=st.text(max_size=40))
def test_no_accepted_value_can_forge_a_second_trailer(value: str) -> None:
    try:
        record = Trailers("promote", "dispatch", to=value)
    except UsageError:
        return
    assert scan_message(render_message(record)).get("to", "") == value


@pytest.mark.parametrize(
    "message",
    [
        "",
        "fix a typo",
        "fix a typo\n\nCortex-Target: dispatch\n",
        "quoting\n\nCortex-Action: promote\n\nbut that was not the last paragraph\n",
        "fix\n\nSigned-off-by: Ada\n",
    ],
)
def test_a_commit_of_the_user_has_no_account(message: str) -> None:
    assert parse_message(message) is None


@pytest.mark.parametrize("second", ["Cortex-To: c", "cortex-to: c", "Cortex-To : c", "Cortex-To:c", " Cortex-To: c"])
def test_a_key_that_stands_twice_is_corruption_however_git_would_read_it(second: str) -> None:
    with pytest.raises(IntegrityError, match="stands twice"):
        parse_message(render_message(MOVE) + second + "\n")


@pytest.mark.parametrize("line", ["Cortex-Generation: many", "Cortex-To: " + "x" * 300])
def test_a_value_that_could_not_have_been_rendered_is_corruption(line: str) -> None:
    message = f"promote(dispatch): x\n\nCortex-Action: promote\nCortex-Target: dispatch\n{line}\n"
    with pytest.raises(IntegrityError):
        parse_message(message)


def test_an_account_without_a_target_is_corruption() -> None:
    with pytest.raises(IntegrityError):
        parse_message("x\n\nCortex-Action: promote\n")


def test_trailers_of_others_beside_ours_are_left_alone() -> None:
    record = parse_message(render_message(MOVE) + "Signed-off-by: Ada <ada@example.org>\n")
    assert record is not None
    assert record.to == MOVE.to
