"""Help pages: complete, and good to read at 80 columns."""

from typing import TYPE_CHECKING

import pytest

from cortex_cli.cli.catalog import SECTIONS, VERBS
from cortex_cli.cli.framework import describe, load_verb, root, walk_pages
from cortex_cli.cli.help import Style, render_help
from cortex_cli.cli.pages import Page, Parameter, Row

if TYPE_CHECKING:
    from tests.cli.conftest import Program

PAGE = Page(
    name="cortex thing",
    summary="do a thing",
    text="Do a thing that takes " + "many words " * 12 + "to tell.\n\n  cortex thing   --exactly so",
    arguments=(Parameter((), "NAME", "what it is about", required=True),),
    options=(
        Parameter(("-n", "--number"), "N", "how many", default="3"),
        Parameter(("--kind",), "a|b", "which kind", choices=("a", "b"), repeats=True),
        Parameter(("--a-name-that-is-longer-than-the-column",), "VALUE", "text", required=True),
        Parameter(("--plain",), "", "no colours", common=True),
    ),
)


@pytest.fixture
def pages() -> dict[str, Page]:
    return {page.name: page for page in walk_pages()}


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_fits_80_columns(verb: str, cortex: "Program") -> None:
    outcome = cortex(verb, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"Usage: cortex {verb}")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "\x1b" not in outcome.out


def test_the_help_of_every_verb_below_a_group_fits_too(cortex: "Program", pages: dict[str, Page]) -> None:
    for name in pages:
        lines = cortex(*name.split(" ")[1:], "--help").out.splitlines()
        assert max(map(len, lines)) <= 80, name


def test_the_first_page_shows_every_verb_in_its_section(cortex: "Program") -> None:
    lines = cortex("--help").out.splitlines()
    places = [lines.index(f"{section}:") for section in SECTIONS]
    assert places == sorted(places)
    for verb, entry in VERBS.items():
        place = next(number for number, line in enumerate(lines) if line.startswith(f"  {verb} "))
        heading = max(each for each in places if each < place)
        assert lines[heading] == f"{entry.section}:", verb
        assert entry.summary in lines[place]


def test_the_summaries_of_the_first_page_begin_in_one_column(cortex: "Program") -> None:
    lines = cortex("--help").out.splitlines()
    starts = {
        line.index(entry.summary) for line in lines for verb, entry in VERBS.items() if line.startswith(f"  {verb} ")
    }
    assert len(starts) == 1


def test_every_argument_and_option_is_explained(pages: dict[str, Page]) -> None:
    for page in pages.values():
        for parameter in (*page.arguments, *page.options):
            assert parameter.text, f"{page.name} {parameter.label}"
            assert parameter.metavar != "" or parameter.names, page.name


def test_every_verb_begins_with_a_sentence(pages: dict[str, Page]) -> None:
    for page in pages.values():
        first = page.text.split("\n")[0]
        assert first[0].isupper(), page.name
        assert page.text.split("\n\n")[0].rstrip().endswith((".", ":")), page.name


def test_a_page_is_usage_text_arguments_options_and_common_options() -> None:
    text = render_help(PAGE, Style())
    assert text.splitlines()[0] == "Usage: cortex thing [OPTIONS] NAME"
    titles = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Arguments:", "Options:", "Common options:"]
    assert "  -n, --number N              how many [default: 3]" in text
    assert "  --kind a|b                  which kind [may be repeated]" in text


def test_a_label_that_is_too_long_gets_a_line_of_its_own() -> None:
    lines = render_help(PAGE, Style()).splitlines()
    place = lines.index("  --a-name-that-is-longer-than-the-column VALUE")
    assert lines[place + 1] == " " * 30 + "text [required]"


def test_examples_are_not_wrapped() -> None:
    assert "\n  cortex thing   --exactly so\n" in render_help(PAGE, Style(width=40))


@pytest.mark.parametrize("width", [40, 60, 80])
def test_text_is_wrapped_to_the_width_of_the_terminal(width: int) -> None:
    lines = render_help(PAGE, Style(width=width)).splitlines()
    prose = [line for line in lines if line.startswith(("Do a thing", "many", "words"))]
    assert prose
    assert max(map(len, prose)) <= width


def test_titles_are_bold_only_where_asked() -> None:
    assert "\033[1mOptions:\033[0m" in render_help(PAGE, Style(bold="\033[1m", reset="\033[0m"))


def test_a_group_shows_its_verbs() -> None:
    page = Page("cortex things", "all things", "All things.", verbs=(Row("ls", "list them"), Row("show", "show one")))
    text = render_help(page, Style())
    assert "Usage: cortex things VERB ..." in text
    assert "Verbs:\n  ls    list them\n  show  show one" in text


def test_a_page_of_a_verb_carries_choices_defaults_and_repetition() -> None:
    page = describe(load_verb("schedule", VERBS["schedule"]), "cortex schedule")
    options = {option.names[-1]: option for option in page.options}
    assert options["--format"].choices == ("cron", "systemd")
    assert options["--format"].metavar == "cron|systemd"
    assert options["--format"].default == "cron"
    assert options["--source"].repeats
    assert options["--plain"].common
    assert not options["--json"].common


def test_describing_the_program_imports_no_verb() -> None:
    assert [row.name for row in describe(root(), "cortex").verbs] == sorted(
        VERBS, key=lambda verb: SECTIONS.index(VERBS[verb].section)
    )
