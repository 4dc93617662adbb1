from collections.abc import Sequence
from pathlib import Path

import pytest

from cortex_cli.domain.errors import FaultsError, UsageError
from cortex_cli.domain.examples import Answer, Example, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.evaluate.gates import GateSpec, check_gates
from cortex_cli.evaluate.scores import compare_scores, score_suite
from cortex_cli.evaluate.suites import Case, Suite, read_suite, suite_of_cases, suite_of_examples


class Reader:
    """A model that knows some answers by heart and fails on one request."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known
        self.calls = 0

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        self.calls += 1
        return [self.answer(prompt[-1].content) for prompt in prompts]

    def answer(self, text: str) -> Answer:
        if text == "crash":
            return Answer(text="", finish="error", error="timeout")
        return Answer(text=self.known.get(text, "?"), tokens_in=2, tokens_out=1, seconds=0.5)


def suite(number: int = 10) -> Suite:
    cases = (
        Case(f"c{n}", (Message("user", f"q{n}"),), f"a{n}", "even" if n % 2 == 0 else "odd") for n in range(number)
    )
    return suite_of_cases("s", cases)


def knows(*numbers: int) -> Reader:
    return Reader({f"q{n}": f"a{n}" for n in numbers})


def test_scores_count_right_answers_tokens_and_domains() -> None:
    scores = score_suite(knows(0, 2, 3), suite(), "exact", chunk=4)

    assert scores.success == 0.3
    assert scores.low < 0.3 < scores.high
    assert scores.tokens == 30
    assert scores.by_domain() == {"even": (2, 5), "odd": (1, 5)}
    assert [result.case for result in scores.results] == [f"c{n}" for n in range(10)]


def test_progress_is_told_after_every_chunk() -> None:
    seen: list[tuple[int, int]] = []
    model = knows()
    score_suite(model, suite(), "exact", chunk=4, watch=lambda done, total: seen.append((done, total)))

    assert seen == [(4, 10), (8, 10), (10, 10)]
    assert model.calls == 3


def test_an_error_is_counted_apart_from_a_wrong_answer() -> None:
    cases = [Case("x", (Message("user", "crash"),), ""), Case("y", (Message("user", "q"),), "a")]
    scores = score_suite(knows(), suite_of_cases("s", cases), "exact")

    assert scores.errors == 1
    assert scores.success == 0.0


def test_two_variants_are_compared_case_by_case() -> None:
    one = score_suite(knows(0, 1, 2), suite(), "exact")
    two = score_suite(knows(1, 2, 3, 4, 5, 6, 7), suite(), "exact")
    found = compare_scores(one, two)

    assert (found.only_first, found.only_second) == (1, 5)
    assert found.difference == pytest.approx(0.4)
    assert found.low < 0.4 < found.high


def test_different_suites_cannot_be_paired() -> None:
    with pytest.raises(UsageError, match="different suites"):
        compare_scores(score_suite(knows(), suite(3), "exact"), score_suite(knows(), suite(4), "exact"))


def test_the_digest_of_scores_changes_with_what_was_right_only() -> None:
    same = score_suite(Reader({"q0": "a0", "q1": "wrong"}), suite(), "exact")

    assert score_suite(knows(0), suite(), "exact").digest() == same.digest()
    assert score_suite(knows(1), suite(), "exact").digest() != same.digest()


def test_every_gate_says_yes_or_no_with_its_number() -> None:
    one = score_suite(knows(*range(8)), suite(), "exact")
    two = score_suite(knows(0), suite(), "exact")
    gates = {gate.name: gate for gate in check_gates(GateSpec(min_success=0.5), two, compare_scores(one, two))}

    assert not gates["success"].passed
    assert gates["success"].reason == "10.0% right of 10, at least 50% asked"
    assert gates["errors"].passed
    assert not gates["not worse"].passed


def test_without_a_champion_nothing_can_be_worse() -> None:
    scores = score_suite(knows(0), suite(), "exact")

    assert [gate.name for gate in check_gates(GateSpec(), scores, None)] == ["success", "errors"]
    with pytest.raises(ValueError, match="between 0 and 1"):
        GateSpec(min_success=2.0)


def test_a_suite_is_read_from_requests_or_messages(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(
        '{"request": "q", "reference": "a", "domain": "d"}\n\n'
        '{"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}], "reference": "b"}\n'
        '{"request": "q", "reference": "a", "domain": "d"}\n'
    )
    read = read_suite(path)

    assert [case.reference for case in read.cases] == ["a", "b"]
    assert read.cases[0].messages == (Message("user", "q"),)
    assert read.name == "s"


def test_all_faults_of_a_suite_are_reported_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"request": "q"}\n{"reference": "a"}\n{"request": "q", "reference": "a", "x": 1}\nno\n')

    with pytest.raises(FaultsError) as caught:
        read_suite(path)

    assert [fault.where for fault in caught.value.faults] == ["line 1", "line 2", "line 3", "line 4"]


def test_a_suite_without_cases_is_refused() -> None:
    with pytest.raises(UsageError, match="has no cases"):
        suite_of_cases("s", [])


def test_a_suite_of_examples_asks_what_they_asked() -> None:
    example = Example(id="x", agent="a", messages=(Message("user", "q"),), answer="a", source="accepted", domain="d")

    assert suite_of_examples("s", [example]).cases == (Case("x", (Message("user", "q"),), "a", "d"),)
