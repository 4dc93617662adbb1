"""The first pass over one batch: what each record becomes, without any other batch."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from cortex_cli.curate.columns import BLANK, PAIR, REPLAYED, SHORT_ANSWER, SHORT_REQUEST, render_keyed
from cortex_cli.curate.contamination import Suite
from cortex_cli.curate.judging import Opinion
from cortex_cli.curate.sifting import RANKS, Batch, Redaction, Sifted, example_id, make_sifter
from cortex_cli.curate.spec import CurateSpec, Duplicates, Pairs
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Scale
from cortex_cli.store.workspace import keyed_id

KEY = b"k" * 32
SPEC = CurateSpec(agent="shell")
LONG = " ".join(f"word{number}" for number in range(25))


def make(number: int, **fields: Any) -> Interaction:
    return Interaction(
        **{
            "id": f"i-{number}",
            "agent": "shell",
            "time": "2026-01-02T03:04:05Z",
            "messages": (Message("user", f"request {number}"),),
            "output": f"answer {number}",
            "outcome": "success",
            **fields,
        }
    )


def sift(
    *records: Interaction,
    opinions: Sequence[Opinion | None] = (),
    spec: CurateSpec = SPEC,
    suites: Sequence[Suite] = (),
    redaction: Redaction = Redaction(),  # noqa: B008 - a frozen value
) -> Sifted:
    said = [*opinions, *[None] * (len(records) - len(opinions))]
    return make_sifter(spec, KEY, suites, redaction)(Batch([canonical_json(each) for each in records], said))


def lines(sifted: Sifted) -> list[tuple[str, Example]]:
    found: list[tuple[str, Example]] = []
    start = 0
    for length in sifted.examples["length"].tolist():
        name, line = sifted.lines[start : start + length].split(b"\n", 1)
        found.append((name.decode(), msgspec.json.decode(line, type=Example)))
        start += length
    assert start == len(sifted.lines)
    return found


def flags(*records: Interaction, opinions: Sequence[Opinion | None] = ()) -> list[int]:
    found: list[int] = sift(*records, opinions=opinions).examples["flags"].tolist()
    return found


def test_lines_stand_behind_the_ids_of_their_interactions() -> None:
    found = lines(sift(make(1), make(2, outcome="failure"), make(3)))
    assert [(name, example.answer) for name, example in found] == [("i-1", "answer 1"), ("i-3", "answer 3")]
    assert all(example.id == example_id(example) for _, example in found)


def test_keyed_ids_are_those_of_the_workspace() -> None:
    sifted = sift(make(1), make(2))
    assert render_keyed(sifted.examples["keyed"]) == [keyed_id(KEY, "i-1"), keyed_id(KEY, "i-2")]
    assert [example.interaction for _, example in lines(sifted)] == render_keyed(sifted.examples["keyed"])


def test_an_id_is_decided_by_the_content_and_not_by_where_it_came_from() -> None:
    same = make(2, messages=make(1).messages, output="answer 1", time="2027-01-01T00:00:00Z", domain="x")
    (one, other) = (example for _, example in lines(sift(make(1), same)))
    assert one.id == other.id
    (with_tools,) = (example for _, example in lines(sift(make(1, tools="[]"))))
    assert with_tools.id != one.id


def test_ranks_put_a_person_before_a_rule() -> None:
    said = [None, Opinion(demonstration="x"), Opinion(demonstration="answer 3")]
    ranks = sift(make(1), make(2), make(3), opinions=said).examples["rank"].tolist()
    assert [RANKS[rank] for rank in ranks] == ["accepted", "correction", "demonstration"]


def test_flags_say_what_duplicates_need_to_know() -> None:
    assert flags(make(1)) == [SHORT_ANSWER | SHORT_REQUEST]
    assert flags(make(1, output=LONG, messages=(Message("user", LONG),))) == [0]
    assert flags(make(1, output="?", messages=(Message("user", "!"),))) == [SHORT_ANSWER | SHORT_REQUEST | BLANK]
    said = [Opinion(demonstration=LONG, replayed=True)]
    assert flags(make(1), opinions=said) == [SHORT_REQUEST | PAIR | REPLAYED]


def test_quality_is_on_one_scale_and_minus_one_where_unknown() -> None:
    known = make(1, quality=4.0, quality_scale=Scale(1.0, 5.0))
    assert sift(known, make(2), make(3, quality=4.0)).examples["quality"].tolist() == [0.75, -1.0, -1.0]


def test_domains_are_codes_into_their_sorted_names() -> None:
    sifted = sift(make(1, domain="mail"), make(2, domain="files"), make(3))
    assert [sifted.domains[code] for code in sifted.examples["domain"].tolist()] == ["mail", "files", ""]
    assert sifted.domains == sorted(sifted.domains)


def test_wrong_answers_are_kept_apart_while_pairs_are_wanted() -> None:
    wrong = make(2, output="grün", outcome="failure")
    sifted = sift(make(1), wrong)
    assert (sifted.texts.decode(), sifted.answers["length"].tolist()) == ("grün", [5])
    assert sifted.reasons == {"outcome_failure": 1}
    none = sift(make(1), wrong, spec=msgspec.structs.replace(SPEC, pairs=Pairs(per_prompt=0)))
    assert (none.texts, none.reasons) == (b"", {"outcome_failure": 1})


def test_sketches_are_left_out_where_nobody_compares() -> None:
    assert sift(make(1)).examples["bands"].shape == (1, 16)
    spec = msgspec.structs.replace(SPEC, duplicates=Duplicates(near=False))
    assert "bands" not in sift(make(1), spec=spec).examples


def test_contaminated_ones_are_counted_by_suite() -> None:
    sifted = sift(make(1), make(2), suites=[Suite("held", (("request 2", ""),))])
    assert (sifted.reasons, sifted.suites) == ({"contaminated_exact": 1}, {"held": 1})
    assert sifted.samples == {"contaminated_exact": ["i-2"]}
    assert len(lines(sifted)) == 1


def test_a_few_ids_are_kept_for_each_reason() -> None:
    sifted = sift(*(make(number, outcome="unknown") for number in range(9)))
    assert sifted.reasons == {"unjudged": 9}
    assert sifted.samples == {"unjudged": ["i-0", "i-1", "i-2"]}


def test_a_batch_of_nothing_useful_has_empty_columns() -> None:
    sifted = sift(make(1, agent="other"))
    assert (sifted.lines, len(sifted.examples["id"]), len(sifted.prefixes["row"])) == (b"", 0, 0)


def test_what_is_rejected_anyway_is_not_masked() -> None:
    asked: list[str] = []

    def mend(records: Sequence[Interaction | Feedback]) -> list[Interaction | Feedback]:
        asked.extend(record.id for record in records if isinstance(record, Interaction))
        return [msgspec.structs.replace(record, redaction="standard/2") for record in records]

    told = [make(1), make(2, outcome="unknown"), make(3, redaction="standard/2"), make(4, agent="other")]
    sifted = sift(*told, redaction=Redaction(("standard/2",), lambda: mend, (), "standard/2"))
    assert asked == ["i-1"]
    assert sifted.stamps == {"standard/2": 2}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_how_records_are_dealt_to_batches_changes_no_row(size: int) -> None:
    records = [make(number, domain=f"d{number % 3}") for number in range(10)]
    whole = lines(sift(*records))
    parts = [line for start in range(0, 10, size) for line in lines(sift(*records[start : start + size]))]
    assert parts == whole
