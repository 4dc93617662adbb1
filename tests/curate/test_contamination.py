import gzip
import json
from typing import Any

import pytest

from cortex_cli.curate.contamination import Contamination, Hit, Suite
from cortex_cli.curate.normal import normalise
from cortex_cli.curate.spec import Decontaminate
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.store.starter import starter_root

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
SUITES = (
    Suite("short", (("List files", "ls"), ("??", ""), ("what is my account balance today", ""))),
    Suite("long", ((LONG, "answer"),)),
)


def example(request: str, answer: str = "done", *before: Message, rejected: str = "") -> Example:
    messages = (*before, Message("user", request))
    return Example(id="x", agent="shell", messages=messages, answer=answer, rejected=rejected, source="accepted")


def find(*examples: Example, suites: tuple[Suite, ...] = SUITES, **spec: Any) -> list[Hit | None]:
    return Contamination(suites, Decontaminate(**spec)).find(examples)


def reason(each: Example, **spec: Any) -> str:
    hit = find(each, **spec)[0]
    return hit.reason.removeprefix("contaminated_") if hit else ""


def test_without_suites_nothing_is_contaminated() -> None:
    assert find(example("list files"), suites=()) == [None]
    assert find(suites=SUITES) == []


def test_an_item_that_is_the_whole_prompt_is_found_at_any_length() -> None:
    assert find(example("LIST  files!")) == [Hit("contaminated_exact", "short")]
    assert find(example(LONG.upper())) == [Hit("contaminated_exact", "long")]


def test_an_item_that_was_asked_earlier_in_the_talk_is_found() -> None:
    before = (Message("user", "list files"), Message("assistant", "ls"))
    assert reason(example("and now sort them", "ls -S", *before)) == "exact"


def test_prompt_and_answer_run_together_are_found() -> None:
    assert reason(example("list", "files ls")) == "exact"


def test_short_items_inside_other_text_are_no_contamination() -> None:
    assert reason(example("please list files of mine")) == ""


def test_items_from_five_tokens_on_are_found_inside_other_text() -> None:
    asked = "hello, what is my account balance today? thanks"
    assert find(example(asked)) == [Hit("contaminated_contained", "short")]
    assert reason(example("x", asked)) == "contained"
    assert reason(example("x", "y", Message("system", asked))) == "contained"
    assert reason(example("x", "y", rejected=asked)) == "contained"
    assert reason(example(asked), shortest=7) == ""


def test_an_item_must_be_contained_as_whole_words_and_whole() -> None:
    assert reason(example("what is my account balance todays")) == ""
    assert reason(example("whatis my account balance today now")) == ""
    assert reason(example("so what is my account balance")) == ""


def test_nothing_is_found_across_the_border_of_two_messages() -> None:
    before = (Message("user", "so what is my account"), Message("assistant", "balance today"))
    assert reason(example("x", "y", *before)) == ""


def test_thirteen_tokens_in_a_row_give_a_long_item_away() -> None:
    words = LONG.split()
    assert find(example("well " + " ".join(words[1:14]) + " well")) == [Hit("contaminated_ngram", "long")]
    assert reason(example("well " + " ".join(words[1:13]) + " well")) == ""
    assert reason(example("well " + " ".join(words[1:13]) + " well"), ngram=12) == "ngram"


def test_an_item_below_the_length_of_a_gram_is_looked_for_as_a_whole() -> None:
    twelve = Suite("twelve", ((" ".join(LONG.split()[:12]), ""),))
    assert reason(example(f"oh {LONG}"), suites=(twelve,)) == "contained"


def test_the_first_suite_that_has_an_item_is_told() -> None:
    both = (Suite("b", (("list files", ""),)), Suite("a", (("list files", ""),)))
    assert find(example("list files"), suites=both) == [Hit("contaminated_exact", "b")]


def test_many_examples_are_told_apart() -> None:
    asked = ["list files", "make a folder", f"so {LONG}", "please: what is my account balance today", "stop"]
    hits = find(*(example(text) for text in asked))
    assert [hit and hit.reason.removeprefix("contaminated_") for hit in hits] == [
        "exact",
        None,
        "ngram",
        "contained",
        None,
    ]


def read(name: str) -> list[str]:
    with gzip.open(starter_root() / "datasets" / "texts" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def leaks(asked: list[str], held: list[str]) -> dict[str, set[str]]:
    hits = find(*(example(text, "") for text in asked), suites=(Suite("held", tuple((text, "") for text in held)),))
    found: dict[str, set[str]] = {"exact": set(), "contained": set(), "ngram": set()}
    for text, hit in zip(asked, hits, strict=True):
        if hit is not None:
            found[hit.reason.removeprefix("contaminated_")].add(normalise(text))
    return found


# The test splits are kept apart, so the leak is shown between the training and the validation split.
@pytest.mark.parametrize(("name", "exact"), [("clinc150/train", 16), ("banking77/train", 2)])
def test_published_splits_that_leak_are_found_to_leak(name: str, exact: int) -> None:
    asked, held = read(name), read("clinc150/val")
    both = set(map(normalise, asked)) & set(map(normalise, held))
    assert leaks(asked, held)["exact"] == both
    assert len(both) == exact


def test_items_are_contained_where_looking_at_every_one_finds_them() -> None:
    asked, held = read("clinc150/train")[::12], read("clinc150/val")
    items = {f" {item} " for item in map(normalise, held) if 5 <= item.count(" ") + 1 < 13}
    inside = {text for text in map(normalise, asked) if any(item in f" {text} " for item in items)}
    found = leaks(asked, held)
    assert found["contained"] == inside - found["exact"]
    assert len(found["contained"]) >= 5
