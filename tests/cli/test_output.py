"""What goes to stdout and stderr, and in what form."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from cortex_cli.cli.output import console, emit, print_table, render_json, say, show_text, wants_colour, wants_plain
from cortex_cli.cli.session import begin_session

if TYPE_CHECKING:
    from rich.console import Console

    from tests.cli.conftest import Program


class Thing(msgspec.Struct):
    """A value with its fields out of order."""

    b: int = 1
    a: str = "x"


def page(console: "Console") -> None:
    console.print("a [bold]page[/bold] with 3 :smile:")


def test_the_envelope_is_one_line_in_a_fixed_order_with_sorted_keys_inside() -> None:
    text = render_json("cortex.x/1", {"b": Thing(), "a": [Path("p/q")]})
    assert text == '{"schema":"cortex.x/1","ok":true,"data":{"a":["p/q"],"b":{"a":"x","b":1}}}'


def test_a_result_that_is_bad_news_says_so() -> None:
    assert json.loads(render_json("cortex.fsck/1", [], ok=False))["ok"] is False


def test_what_has_no_json_form_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        render_json("cortex.x/1", {"a": object()})


def test_a_verb_prints_either_its_object_or_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({})
    emit("x", {"a": 1}, page, as_json=True)
    assert json.loads(capsys.readouterr().out)["schema"] == "cortex.x/1"
    emit("x", {"a": 1}, page, as_json=False)
    assert capsys.readouterr().out == "a [bold]page[/bold] with 3 :smile:\n"


def test_long_lines_are_not_wrapped_where_a_program_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({"COLUMNS": "20"})
    console().print("word " * 100)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_columns_line_up_by_what_the_terminal_shows(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({})
    print_table(console(), ("NAME", "N"), [("語", 1), ("abcdef", 22)])
    assert capsys.readouterr().out == "NAME    N\n語      1\nabcdef  22\n"


def test_plain_tables_are_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({"CORTEX_PLAIN": "true"})
    print_table(console(), ("NAME", "N"), [("a", 1)])
    assert capsys.readouterr().out == "NAME\tN\na\t1\n"


def test_an_empty_table_is_its_headers(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({})
    print_table(console(), ("NAME", "N"), [])
    assert capsys.readouterr().out == "NAME  N\n"


def test_control_characters_of_other_people_never_reach_the_terminal() -> None:
    assert show_text("a\x1b[31mred\n\tb\u202e") == "a\\x1b[31mred  b\N{REPLACEMENT CHARACTER}"


def test_text_is_cut_to_the_width_asked_for() -> None:
    assert show_text("abcdef", 4) == "abc…"
    assert show_text("abcd", 4) == "abcd"


def test_talk_goes_to_stderr_and_quiet_stops_it(capsys: pytest.CaptureFixture[str]) -> None:
    current = begin_session({})
    say("hello")
    current.quiet = True
    say("again")
    assert capsys.readouterr() == ("", "hello\n")


class Terminal:
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"CORTEX_PLAIN": "true"}, False),
        ({"CORTEX_COLOR": "never"}, False),
        ({"CORTEX_COLOR": "always", "TERM": "dumb"}, True),
        ({"CORTEX_COLOR": "always", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_follow_no_color_then_the_setting_then_the_terminal(environ: dict[str, str], *, expected: bool) -> None:
    begin_session(environ)
    assert wants_colour(Terminal()) is expected  # type: ignore[arg-type]  # only isatty is asked


def test_a_pipe_has_no_colours_unless_they_are_demanded() -> None:
    begin_session({})
    assert not wants_colour(sys.stdout)
    begin_session({"CORTEX_COLOR": "always"})
    assert wants_colour(sys.stdout)


def test_a_broken_settings_file_does_not_stop_output(folder: Path, cortex: "Program") -> None:
    (folder / "cortex.toml").write_text("nonsense", encoding="utf-8")
    begin_session(cortex.environ)
    assert wants_plain() is False
