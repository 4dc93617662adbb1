"""The data card: a header that parses, tables that hold, and nothing of what users wrote."""

import re

import msgspec
import pytest

from cortex_cli.curate.audit import audit_examples
from cortex_cli.curate.card import render_card, size_category
from cortex_cli.curate.drift import measure_drift
from cortex_cli.curate.profiles import profile_examples
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Blob, DatasetVersion, Part

DIGEST = "sha256:" + "0" * 64
VERSION = DatasetVersion(
    name="calls",
    version="v0002",
    agent="dispatch",
    parts={"test": Part(DIGEST, 10, 1), "train": Part(DIGEST, 90, 60)},
    lineage=Blob("lineage", DIGEST, 3),
    origins={"accepted": 61},
    rejected={"duplicate": 7},
    counts={"replayed": 3},
    algorithms={"split": "salted/1"},
    recipe="dispatch",
    parent="calls/v0001",
    digest=DIGEST,
    created="2026-01-02T03:04:05Z",
)


def example(number: int, domain: str = "bank", text: str = "where is my secret card") -> Example:
    return Example(
        id=f"x-{number}",
        agent="dispatch",
        messages=(Message("user", f"{text} {number}"),),
        answer="in the mail from <PERSON_1>",
        source="accepted",
        domain=domain,
        time="2026-01-02T03:04:05Z",
    )


EXAMPLES = [example(number, "bank" if number % 3 else "a|b`c") for number in range(60)]
AUDIT = audit_examples(lambda: EXAMPLES)


def header(card: str) -> list[str]:
    assert card.startswith("---\n")
    return card[4 : card.index("\n---\n", 4)].splitlines()


def test_the_header_has_what_the_hub_reads() -> None:
    assert header(render_card(VERSION, AUDIT)) == [
        'license: "unknown"',
        "language:",
        "- en",
        'pretty_name: "calls v0002"',
        "size_categories:",
        "- n<1K",
        "task_categories:",
        "- text-generation",
        "tags:",
        "- cortex",
        "- agent:dispatch",
    ]


def test_a_licence_cannot_break_the_header() -> None:
    lines = header(render_card(VERSION, AUDIT, licence='x"\n---\nevil: true'))
    assert lines[0] == 'license: "x\\"\\n---\\nevil: true"'
    assert "evil: true" not in lines


def test_no_text_of_a_user_is_in_it() -> None:
    card = render_card(VERSION, AUDIT)
    assert "secret card" not in card
    assert "in the mail" not in card


def test_tables_have_as_many_cells_in_every_row() -> None:
    blocks = re.findall(r"(?:^\|.*\|$\n)+", render_card(VERSION, AUDIT), re.MULTILINE)
    assert len(blocks) > 5
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_drift_is_told_with_its_error_rate() -> None:
    old, new = profile_examples(EXAMPLES), profile_examples([example(number, "travel") for number in range(400)])
    card = render_card(VERSION, AUDIT, measure_drift(old, new))
    assert "- domain: drift (PSI " in card
    assert "travel +100.0%" in card
    assert "Chance of any false alarm below: 5%." in card


def test_what_is_limited_is_said() -> None:
    card = render_card(VERSION, AUDIT)
    assert "placeholders in the text: PERSON 60" in card
    assert "3 examples rest on judgements derived from reference answers" in card
    assert "0 bursts of near-identical answers" in card


def test_a_version_in_quarantine_says_why() -> None:
    card = render_card(msgspec.structs.replace(VERSION, state="quarantined", reason="odd"), AUDIT)
    assert "It is quarantined: odd." in card


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (123_456, "100K<n<1M"),
        (2_000_000, "1M<n<10M"),
        (10**8, "10M<n<100M"),
    ],
)
def test_sizes_are_the_categories_of_the_hub(rows: int, category: str) -> None:
    assert size_category(rows) == category
