"""The first pass over a stream: what is held back, counted and put in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.curate.choosing import read_example, read_interaction
from cortex_cli.curate.gathering import Found, Workshop, gather
from cortex_cli.curate.judging import Judgements
from cortex_cli.curate.spec import CurateSpec, FeedbackSpec
from cortex_cli.curate.spool import Spool
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Scale

SPEC = CurateSpec(agent="shell")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path) as made:
        yield made


def make(number: int, **fields: Any) -> tuple[int, bytes]:
    told = {
        "id": f"i-{number}",
        "agent": "shell",
        "time": f"2026-01-02T03:04:{number % 60:02}Z",
        "messages": (Message("user", f"request {number}"),),
        "output": f"answer {number}",
        "outcome": "success",
    }
    return number, canonical_json(Interaction(**{**told, **fields}))


def demonstrate(target: str, text: str) -> Feedback:
    return Feedback(id="f", target=target, kind="demonstration", time="", demonstration=text, target_kind="episode")


def find(spool: Spool, *rows: tuple[int, bytes], feedback: tuple[Feedback, ...] = (), **shop: Any) -> Found:
    judgements = Judgements(enumerate(feedback, 1), FeedbackSpec(), spool)
    return gather(iter(rows), SPEC, judgements, Workshop(b"k" * 32, **shop), spool)


def names(found: Found, spool: Spool) -> list[str]:
    return [read_interaction(found, spool, row) for row in range(len(found.examples["flags"]))]


def test_better_examples_come_first(spool: Spool) -> None:
    scale = Scale(0.0, 1.0)
    rows = [
        make(1),
        make(2, quality=0.5, quality_scale=scale),
        make(3, quality=0.9, quality_scale=scale),
        make(4, quality=0.9, quality_scale=scale, time="2025-01-01T00:00:00Z"),
        make(5, meta={"supervised": "true"}),
    ]
    assert names(find(spool, *rows), spool) == ["i-5", "i-4", "i-3", "i-2", "i-1"]
    assert names(find(spool, *rows[::-1]), spool) == ["i-5", "i-4", "i-3", "i-2", "i-1"]


def test_lines_can_be_read_back_by_row(spool: Spool) -> None:
    found = find(spool, *(make(number) for number in range(1200)))
    for row in (0, 511, 512, 1199):
        number = read_interaction(found, spool, row).removeprefix("i-")
        assert read_example(found, spool, row).answer == f"answer {number}"


def test_beginnings_point_to_where_their_rows_went(spool: Spool) -> None:
    talk = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    found = find(spool, *(make(number) for number in range(600)), make(700, messages=talk, meta={"supervised": "true"}))
    assert [read_interaction(found, spool, int(row)) for row in found.prefixes["row"]] == ["i-700"]


def test_the_range_and_the_number_of_records_are_known(spool: Spool) -> None:
    found = find(spool, make(9), make(4), make(7, agent="other"))
    assert (found.read, found.first, found.last) == (3, 4, 9)
    assert found.reasons == {"other_agent": 1}
    assert find(spool).read == 0


def test_domains_have_one_code_in_all_batches(spool: Spool) -> None:
    found = find(spool, *(make(number, domain=f"d{number // 400}") for number in range(1200)))
    told = [found.domains[code] for code in found.examples["domain"].tolist()]
    assert told == [read_example(found, spool, row).domain for row in range(1200)]


def test_the_last_of_an_episode_waits_for_the_end_in_whatever_batch_it_was(spool: Spool) -> None:
    rows = [make(number, episode="e" if number in {3, 700, 1100} else "") for number in range(1, 1200)]
    for stream in (rows, rows[::-1]):
        found = find(spool, *stream, feedback=(demonstrate("e", "better"),))
        assert found.read == 1199 == len(found.examples["flags"])
        answers = {read_interaction(found, spool, row): read_example(found, spool, row).answer for row in range(1199)}
        assert [answers[name] for name in ("i-3", "i-700", "i-1100")] == ["answer 3", "answer 700", "better"]


def test_progress_is_told_in_records(spool: Spool) -> None:
    heard: list[tuple[str, int]] = []
    find(spool, *(make(number) for number in range(1200)), told=lambda what, count: heard.append((what, count)))
    assert heard[-1] == ("read", 1200)
    assert [count for _, count in heard] == sorted(count for _, count in heard)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id": "i-1"}', b'{"id": 1, "agent": "shell"}'])
def test_a_record_that_is_none_is_an_integrity_failure(spool: Spool, body: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        find(spool, make(1), (2, body))
