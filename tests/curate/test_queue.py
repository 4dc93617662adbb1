"""The queue of questions: what teaches most comes first, no two alike, and the same list every time."""

import random

import msgspec
import pytest

from cortex_cli.curate.queue import Pick, QueueLimits, build_queue
from cortex_cli.curate.verdicts import Verdicts
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Scale

WORDS = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(100, 900)]


def ask(number: int, request: str = "", domain: str = "bank", **fields: object) -> Interaction:
    text = request or " ".join(random.Random(number).choices(WORDS, k=9))
    made = Interaction(
        id=f"i-{number:04}", agent="a", time="", messages=(Message("user", text),), output="an answer", domain=domain
    )
    return msgspec.structs.replace(made, **fields)


def said(number: int, up: bool, judge: str, annotator: str = "human") -> Feedback:
    return Feedback(id="", target=f"i-{number:04}", kind="boolean", time="", thumbs=up, name=judge, annotator=annotator)  # type: ignore[arg-type]


def queue(interactions: list[Interaction], feedback: list[Feedback] | None = None, **limits: object) -> list[Pick]:
    return build_queue(lambda: interactions, Verdicts(feedback or []), QueueLimits(**limits))  # type: ignore[arg-type]


def test_judges_who_disagree_come_first_and_it_is_said() -> None:
    interactions = [ask(number, outcome="success") for number in range(30)]
    picks = queue(interactions, [said(17, True, "ada"), said(17, False, "bob")])
    assert picks[0].id == "i-0017"
    assert picks[0].reasons[0] == "judges disagree: 1 yes, 1 no"


def test_what_a_person_has_settled_is_not_asked_again() -> None:
    interactions = [ask(number) for number in range(4)]
    feedback = [said(0, True, "ada"), said(1, True, "judge", "model"), said(2, False, "ada")]
    assert {pick.id for pick in queue(interactions, feedback)} == {"i-0001", "i-0003"}


def test_the_reviewer_is_not_asked_twice_even_where_others_disagree() -> None:
    feedback = [said(0, True, "ada"), said(0, False, "bob")]
    assert [pick.id for pick in queue([ask(0)], feedback, reviewer="eve")] == ["i-0000"]
    assert queue([ask(0)], feedback, reviewer="ada") == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"quality": 4.2, "quality_scale": Scale(1, 5)}, "near the threshold: quality 0.80, 0.75 decides"),
        ({"meta": {"logprob": "-1.2"}}, "low confidence: 0.30"),
        ({"meta": {"confidence": "0.2"}}, "low confidence: 0.20"),
        ({}, "never judged, outcome unknown"),
    ],
)
def test_every_reason_is_told_in_words(fields: dict[str, object], reason: str) -> None:
    assert reason in queue([msgspec.structs.replace(ask(1), **fields)])[0].reasons


def test_a_score_near_the_threshold_is_worth_more_than_one_far_from_it() -> None:
    feedback = [
        Feedback(
            id="",
            target=f"i-{number:04}",
            kind="score",
            time="",
            score=value,
            scale=Scale(0, 1),
            name="m",
            annotator="model",
        )
        for number, value in ((0, 0.2), (1, 0.91), (2, 0.86))
    ]
    assert [pick.id for pick in queue([ask(number) for number in range(3)], feedback)] == ["i-0001", "i-0002", "i-0000"]


def test_a_weak_domain_goes_before_a_strong_one() -> None:
    strong = [ask(number, domain="bank", outcome="success") for number in range(100)]
    weak = [ask(number, domain="travel", outcome="failure") for number in range(100, 200)]
    (first,) = queue([*strong, *weak], limit=1)
    assert first.domain == "travel"
    assert "weak domain: at least 0% accepted" in first.reasons


def test_the_list_is_spread_over_domains() -> None:
    interactions = [ask(number, domain=f"d{number % 5}") for number in range(200)]
    domains = [pick.domain for pick in queue(interactions, limit=10)]
    assert {domain: domains.count(domain) for domain in set(domains)} == dict.fromkeys((f"d{at}" for at in range(5)), 2)


def test_one_domain_alone_still_fills_the_list() -> None:
    assert len(queue([ask(number) for number in range(50)], limit=20)) == 20


@pytest.mark.parametrize("most", [1, 3])
def test_near_identical_requests_are_asked_about_once(most: int) -> None:
    same = [
        ask(number, f"please block my lost card number {number} today, it was stolen in the city")
        for number in range(40)
    ]
    same += [ask(40, "Please block my lost card number 7 today it was stolen in the  city!")]
    other = [ask(99)]
    picks = queue([*same, *other], per_request=most)
    assert len(picks) == most + 1
    assert "i-0099" in {pick.id for pick in picks}


def test_errors_and_records_without_a_request_are_left_out() -> None:
    bare = Interaction(id="i-1", agent="a", time="", messages=(Message("system", "x"),), output="y")
    assert queue([ask(0, error="timeout"), ask(2, outcome="error"), bare]) == []


def test_an_answer_that_is_missing_may_be_asked_for() -> None:
    assert len(queue([ask(0, output="")])) == 1


def test_the_same_journal_gives_the_same_list_in_any_order() -> None:
    interactions = [
        ask(number, domain=f"d{number % 7}", meta={"confidence": str(number % 10 / 10)}) for number in range(500)
    ]
    shuffled = random.Random(4).sample(interactions, len(interactions))
    assert queue(interactions) == queue(interactions) == queue(shuffled)


def test_the_best_survive_when_candidates_are_dropped_while_reading() -> None:
    # Thirty times what is kept at once, the best at the very end.
    interactions = [ask(number, meta={"confidence": f"{1 - number / 2000:.4f}"}) for number in range(1500)]
    assert [pick.id for pick in queue(interactions, limit=3)] == ["i-1499", "i-1498", "i-1497"]


@pytest.mark.parametrize("meta", [{"logprob": "nan"}, {"logprob": "x"}, {"confidence": "7"}, {"confidence": ""}])
def test_a_confidence_that_is_none_is_not_believed(meta: dict[str, str]) -> None:
    assert not any("confidence" in reason for reason in queue([ask(0, meta=meta)])[0].reasons)
