"""Profiles: counts and nothing else, the same for the same examples, bounded whatever producers put into labels."""

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.profiles import (
    DIMENSIONS,
    NONE,
    OTHER,
    Profiler,
    count_tokens,
    label_length,
    label_text,
    last_request,
    make_profiler,
    profile_examples,
)
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message


def make(number: int, text: str = "what is the weather", domain: str = "weather", answer: str = "it rains") -> Example:
    messages = (Message("system", "be brief"), Message("user", text))
    return Example(
        id=f"x-{number}", agent="dispatch", messages=messages, answer=answer, source="accepted", domain=domain
    )


def test_every_dimension_counts_every_example() -> None:
    found = profile_examples(make(number) for number in range(7))
    assert found.examples == 7
    assert found.counts.keys() == DIMENSIONS.keys()
    assert all(sum(counts.values()) == 7 for counts in found.counts.values())


def test_labels_are_what_they_say() -> None:
    found = profile_examples([make(1), make(2, "wie ist das Wetter in Bonn", "", "gut"), make(3, "a " * 100)])
    assert found.counts["domain"] == {NONE: 1, "weather": 2}
    assert found.counts["language"] == {"de": 1, "en": 1, "unknown": 1}
    assert found.counts["answer_length"] == {"1": 1, "2": 2}
    # Two words of the system message, and four, six and a hundred of the user.
    assert found.counts["prompt_length"] == {"4": 1, "64": 1, "8": 1}
    assert found.counts["source"] == {"accepted": 3}


def test_the_order_of_examples_does_not_matter() -> None:
    examples = [make(number, domain=f"d{number % 90}") for number in range(500)]
    shuffled = random.Random(1).sample(examples, len(examples))
    assert canonical_json(profile_examples(examples)) == canonical_json(profile_examples(shuffled))


def test_rare_domains_are_counted_together_so_that_a_manifest_stays_small() -> None:
    found = profile_examples(make(number, domain=f"domain-{number}") for number in range(1000))
    assert len(found.counts["domain"]) == 65
    assert found.counts["domain"][OTHER] == 936


def test_memory_is_bounded_when_every_example_has_a_domain_of_its_own() -> None:
    profiler = Profiler()
    for number in range(10_500):
        profiler.add(make(number, "x", f"domain-{number}"))
    assert len(profiler._counts["domain"]) == 10_001
    assert profiler.profile().examples == 10_500


def test_a_profile_holds_no_text_of_a_user() -> None:
    found = canonical_json(profile_examples([make(1, "my name is Ada Lovelace", "Ada said:\nhello", "secret 4711")]))
    assert b"Ada" not in found
    assert b"4711" not in found


def test_labels_that_may_not_stand_in_a_manifest_are_other() -> None:
    assert [label_text(text) for text in ("", "bank", "a\nb", "x" * 65, "a\u202eb")] == [
        NONE,
        "bank",
        OTHER,
        OTHER,
        OTHER,
    ]


def test_the_last_request_is_the_users() -> None:
    assert last_request(make(1)) == "what is the weather"
    assert not last_request(Example(id="x", agent="a", messages=(), answer="", source="accepted"))


@given(st.integers(0, 10**9))
def test_a_length_is_labelled_by_the_power_of_two_below_it(tokens: int) -> None:
    label = int(label_length(tokens))
    assert label <= tokens < max(1, 2 * label)


@given(st.text())
def test_words_are_separated_by_whitespace(text: str) -> None:
    assert count_tokens(text) == len(text.split())


def test_counting_in_parts_gives_what_counting_at_once_gives() -> None:
    examples = [make(number, "word " * number, f"domain {number % 5}") for number in range(30)]
    whole = Profiler()
    for start in range(0, 30, 7):
        whole.join(make_profiler()([canonical_json(example) for example in examples[start : start + 7]]))
    assert whole.profile() == profile_examples(examples)


def test_a_pair_is_not_counted_beside_its_example() -> None:
    pair = msgspec.structs.replace(make(1), source="pair", rejected="no")
    assert make_profiler()([canonical_json(make(1)), canonical_json(pair)]).profile() == profile_examples([make(1)])
