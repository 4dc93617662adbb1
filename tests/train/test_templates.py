import random
import re
from pathlib import Path

import pytest

from cortex_cli.store.starter import starter_root
from cortex_cli.train.annotated import Annotated, Mark, read_annotated
from cortex_cli.train.templates import Pool, Templates

PACKS = starter_root() / "datasets" / "texts"
SHIPPED = Templates(PACKS / "cortex_names")


@pytest.fixture
def small(tmp_path: Path) -> Templates:
    (tmp_path / "values.toml").write_text(
        "[labels]\nperson = 'PERSON'\n[values]\ngiven = 'Anna, Otto'\nperson = ['{given} Berg^%']\nplain = 'one'\n"
    )
    (tmp_path / "templates.txt").write_text("{person}\\nand {plain} {person}\n\n")
    (tmp_path / "clean.txt").write_text("nobody\n")
    return Templates(tmp_path)


def test_slots_are_filled_and_those_with_a_label_are_marked(small: Templates) -> None:
    text = small.fill(small.lines[0], random.Random(1))
    assert re.fullmatch(r"(Anna|Otto) Berg[1-9]\d\nand one (Anna|Otto) Berg[1-9]\d", text.text)
    assert [mark.label for mark in text.marks] == ["PERSON", "PERSON"]
    assert all(re.fullmatch(r"\w+ Berg\d\d", text.text[mark.start : mark.end]) for mark in text.marks)


def test_the_same_seed_gives_the_same_text(small: Templates) -> None:
    assert small.fill(small.lines[0], random.Random(5)) == small.fill(small.lines[0], random.Random(5))


def test_words_of_lists_are_given_in_lower_case(small: Templates) -> None:
    assert small.words("given", "plain") == {"anna", "otto", "one"}


def test_another_value_of_the_same_form_is_swapped_in() -> None:
    texts = [
        Annotated("Anna in 12345", (Mark(0, 4, "PERSON"), Mark(8, 13, "ID"))),
        Annotated("Otto Berg is here", (Mark(0, 9, "PERSON"),)),
    ]
    pool = Pool(texts, SHIPPED)
    for seed in range(30):
        one = pool.swap(texts[0], random.Random(seed))
        assert one.text.endswith(" in 12345")
        assert one.text[one.marks[0].start : one.marks[0].end] == one.text.removesuffix(" in 12345")
        two = pool.swap(texts[1], random.Random(seed))
        assert two.text.endswith(" is here")
        assert two.text[two.marks[0].start : two.marks[0].end] == two.text.removesuffix(" is here")


def test_every_shipped_template_fills_without_a_slot_left() -> None:
    source = random.Random(0)
    for line in SHIPPED.lines:
        text = SHIPPED.fill(line, source)
        assert not re.search(r"\{[a-z_]+\}", text.text), line
        assert all(text.text[mark.start : mark.end].strip() for mark in text.marks)


def test_there_are_many_varied_templates() -> None:
    assert len(set(SHIPPED.lines)) == len(SHIPPED.lines) >= 400
    assert len(set(SHIPPED.clean)) >= 150


def test_no_template_is_one_of_the_texts_that_recall_is_measured_on() -> None:
    ours = {plain(line) for line in SHIPPED.lines}
    theirs = {plain(text.template) for pack in ("synth", "generated_large") for text in read(pack)}
    same = {line for line in ours & theirs if len(line.split()) > 3}
    assert same == set()
    long = [(ours_words, line) for line in ours if len(ours_words := set(line.split())) > 4]
    near = {
        (a, b) for words, a in long for b in theirs if len(words & set(b.split())) > 0.8 * len(words | set(b.split()))
    }
    assert near == set()


def read(pack: str) -> list[Annotated]:
    return read_annotated(PACKS / "presidio" / f"{pack}.jsonl.gz")


def plain(template: str) -> str:
    return " ".join(re.findall(r"[a-z]+", re.sub(r"\{[^}]*\}", " ", template.lower())))
