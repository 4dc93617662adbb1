import gzip
import json
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.store.starter import starter_root
from cortex_cli.train.annotated import UNKNOWN
from cortex_cli.train.corpus import CLEAN, Corpus, count_plain, make_texts, read_clean, read_corpus
from cortex_cli.train.spec import TaggerSpec

PACKS = starter_root() / "datasets" / "texts"
SPEC = TaggerSpec(name="x", marked=("presidio/synth",), templates="cortex_names", swaps=1, fillings=1, clean=20)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return read_corpus(SPEC, PACKS)


def test_the_corpus_has_marked_clean_and_plain_parts(corpus: Corpus) -> None:
    assert len(corpus.marked) == 831
    assert {pack.partition(":")[0] for pack, _ in corpus.clean} == set(CLEAN)
    assert corpus.plain["account"] & 1
    assert not corpus.plain.get("natalia")


def test_texts_are_made_the_same_way_each_time(corpus: Corpus) -> None:
    one, two = (make_texts(corpus, SPEC, lambda _: []) for _ in range(2))
    assert one == two
    other = make_texts(corpus, msgspec.structs.replace(SPEC, seed=1), lambda _: [])
    assert one != other


def test_what_rules_find_is_a_placeholder_in_every_text(corpus: Corpus) -> None:
    texts = make_texts(corpus, SPEC, lambda text: [(0, 1, "X")] if text[:1] == "M" else [])
    assert not any(text.text.startswith("M") for text in texts)
    assert any(text.text.startswith("<X_") for text in texts)


def test_places_in_requests_and_people_in_sums_are_not_learned_as_plain(corpus: Corpus) -> None:
    texts = make_texts(corpus, SPEC, lambda _: [])
    doubted = [text for text in texts if any(mark.label == UNKNOWN for mark in text.marks)]
    assert doubted
    assert all(text.template.startswith(("banking77", "clinc150", "gsm8k")) for text in doubted)


def test_words_that_are_written_small_are_plain_and_names_are_not(tmp_path: Path) -> None:
    sentence = "yesterday we sat at the table with Paul and Rose under a rose"
    rows = {
        "sgd/dev": {"turns": [["user", sentence]] * 30},
        "gsm8k/train": {"question": sentence, "answer": "so it is"},
        "routellm/mmlu": {"prompt": sentence},
        "tldr/pages": {"description": "list things"},
    }
    for pack, row in rows.items():
        path = tmp_path / f"{pack}.jsonl.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(json.dumps(row).encode()))
    plain = count_plain(tmp_path, {"table"}, {"of"})
    assert plain["yesterday"] == 3
    assert plain["table"] == 1
    assert plain["of"] == 3
    assert "paul" not in plain
    assert "rose" not in plain


def test_a_missing_clean_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="banking77"):
        list(read_clean(tmp_path))
