"""Bursts of near-identical answers: a planted attack is found, and clean data raise no alarm."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.normal import hash64
from cortex_cli.curate.poisoning import Burst, BurstLimits, Bursts, Whose, hash_source, sketch_answer

WORDS = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(100, 3100)]
DAY = 86_400
FILE = hash_source("export.jsonl")


class Data:
    """Examples in the making, from a seed."""

    def __init__(self, seed: int, limits: BurstLimits = BurstLimits()) -> None:  # noqa: B008 - a tuple
        self.random = random.Random(seed)
        self.bursts = Bursts(limits)
        self.number = 0

    def add(self, answer: str, user: str, time: int, prompt: str = "") -> None:
        self.number += 1
        asked = hash64(prompt or f"request {self.number}")
        self.bursts.add(asked, answer, Whose(FILE, hash_source(user) if user else 0), time)

    def clean(self, rows: int, users: int = 50) -> None:
        for _ in range(rows):
            user = f"user {self.random.randrange(users)}"
            self.add(self.sentence(), user, self.random.randrange(30 * DAY))

    def sentence(self) -> str:
        return " ".join(self.random.choices(WORDS, k=25))

    def attack(self, rows: int, seconds: int = 1800, user: str = "mallory", prompt: str = "") -> None:
        template = self.sentence().split()
        for _ in range(rows):
            words = list(template)
            words[self.random.randrange(len(words))] = self.random.choice(WORDS)
            self.add(" ".join(words), user, 10 * DAY + self.random.randrange(seconds), prompt)

    def find(self) -> list[Burst]:
        return self.bursts.find().bursts


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_attack_is_found_and_its_author_named(seed: int) -> None:
    data = Data(seed)
    data.clean(3000)
    data.attack(60)
    (burst,) = data.find()
    assert (burst.kind, burst.source) == ("user", hash_source("mallory"))
    assert 20 <= burst.requests <= burst.made == 60
    assert burst.chance < 1e-20
    assert all(position >= 3000 for position in burst.examples)
    assert 10 * DAY <= burst.start < 10 * DAY + 1800


@pytest.mark.parametrize("seed", range(5))
def test_clean_data_raise_no_alarm(seed: int) -> None:
    data = Data(seed)
    data.clean(4000)
    assert data.find() == []


def test_an_attack_without_a_user_is_found_by_its_origin() -> None:
    data = Data(1)
    data.clean(2000)
    data.attack(60, user="")
    (burst,) = data.find()
    assert burst.kind == "origin"


def test_labels_that_repeat_all_over_the_data_are_no_burst() -> None:
    data = Data(2)
    for _ in range(6000):
        tool = WORDS[data.random.randrange(60)]
        call = json.dumps({"tool": tool, "arguments": {"unit": "celsius"}})
        data.add(call, f"user {data.random.randrange(5)}", data.random.randrange(DAY))
    assert data.find() == []


def test_a_file_that_is_sorted_by_label_is_ordered_and_no_attack() -> None:
    data = Data(12)
    for number in range(6000):
        label = json.dumps({"tool": f"tool {WORDS[number // 100]}", "arguments": {}})
        data.add(label, f"user {number % 137}", number * 30)
    found = data.bursts.find()
    assert found.bursts == []
    (ordered,) = found.ordered
    assert (ordered.kind, ordered.source) == ("origin", FILE)
    assert ordered.answers >= 50


def test_an_attack_by_a_user_is_found_in_a_sorted_file_too() -> None:
    data = Data(13)
    for number in range(6000):
        data.add(f"the answer about {WORDS[number // 100]} is here", f"user {number % 137}", number * 300)
    data.attack(60)
    assert [burst.source for burst in data.find()] == [hash_source("mallory")]


def test_a_flood_of_one_answer_is_no_order_however_large() -> None:
    data = Data(14)
    data.clean(1000)
    data.attack(900)
    found = data.bursts.find()
    assert found.bursts[0].source == hash_source("mallory")
    assert found.ordered == []


def test_one_subject_of_one_source_is_no_burst_when_it_is_always_its_subject() -> None:
    data = Data(3)
    for number in range(3000):
        data.add("the card was blocked, please call the bank", "bank bot", number * 60)
        data.add(data.sentence(), f"user {number % 40}", number * 60)
    # The bot's answers stand in all of its windows, and so also outside of every one of them.
    assert [burst for burst in data.find() if burst.requests < 60] == []


def test_short_answers_repeat_by_themselves() -> None:
    data = Data(4)
    data.clean(500)
    for number in range(40):
        data.add("yes", "ada", 5 * DAY + number)
    assert data.find() == []


def test_the_same_request_many_times_is_one_request() -> None:
    data = Data(5)
    data.clean(1000)
    data.attack(60, prompt="again and again")
    assert data.find() == []


def test_a_slow_campaign_is_below_the_threshold_until_the_window_is_widened() -> None:
    for window, found in ((3600, 0), (40 * DAY, 1)):
        data = Data(6, BurstLimits(window=window))
        data.clean(2000)
        data.attack(60, seconds=15 * DAY)
        assert len(data.find()) == found, window


@pytest.mark.parametrize("least", [10, 100])
def test_the_threshold_is_an_option(least: int) -> None:
    data = Data(7, BurstLimits(least=least))
    data.clean(1000)
    data.attack(40)
    assert len(data.find()) == (least == 10)


def test_a_burst_over_the_edge_of_a_window_is_found() -> None:
    data = Data(8)
    data.clean(1000)
    template = data.sentence()
    for number in range(40):
        data.add(f"{template} {number}", "mallory", 10 * DAY - 900 + number * 45)
    assert data.find()[0].requests == 40


def test_a_file_that_holds_nothing_else_has_nothing_to_compare_with() -> None:
    data = Data(9)
    data.attack(60)
    assert data.find() == []


def test_no_example_is_no_burst() -> None:
    assert Bursts().find() == ([], [])


def test_the_order_of_examples_does_not_decide() -> None:
    sizes = []
    for seed in (1, 2):
        rows = [("x " * 30 + str(number), "mallory", DAY + number) for number in range(30)]
        rows += [(f"{WORDS[number]} " * 8, f"user {number % 9}", number * 400) for number in range(900)]
        random.Random(seed).shuffle(rows)
        data = Data(0)
        for answer, user, time in rows:
            data.add(answer, user, time, f"{user} {time}")
        sizes.append([(burst.kind, burst.requests, burst.made) for burst in data.find()])
    assert sizes[0] == sizes[1] == [("user", 30, 30)]


def test_near_identical_answers_share_a_key_and_others_do_not() -> None:
    generator = random.Random(1)
    shared = others = 0
    for _ in range(200):
        words = generator.choices(WORDS, k=40)
        changed = [*words[:-1], generator.choice(WORDS)]
        shared += bool(set(sketch_answer(" ".join(words))) & set(sketch_answer(" ".join(changed))))
        others += bool(
            set(sketch_answer(" ".join(words))) & set(sketch_answer(" ".join(generator.choices(WORDS, k=40))))
        )
    assert shared > 195
    assert others == 0


def test_calls_of_two_tools_are_not_alike() -> None:
    calls = [json.dumps({"tool": name, "arguments": {"unit": "celsius"}}) for name in ("weather", "forecast")]
    assert not set(sketch_answer(calls[0])) & set(sketch_answer(calls[1]))


def test_numbers_and_masked_names_do_not_make_a_difference() -> None:
    one, two = "dear <PERSON_3>, pay 120 euro to account 44", "Dear <PERSON_71>, pay 99 euro to account 8"
    assert sketch_answer(one) == sketch_answer(two)


@given(st.text())
def test_any_answer_has_four_keys_that_are_not_nothing(answer: str) -> None:
    keys = sketch_answer(answer)
    assert len(keys) == 4
    assert all(0 < key < 2**64 for key in keys)
    assert keys == sketch_answer(answer)
