import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cortex_cli.models.tagging import load_tagger
from cortex_cli.models.words import FIRST_ROWS, Vocabulary
from cortex_cli.train.annotated import UNKNOWN, Annotated, Mark
from cortex_cli.train.spec import TaggerSpec
from cortex_cli.train.tagger import LABELS, Fitted, Told, encode, fit_tagger, make_vocabulary, write_tagger

pytestmark = pytest.mark.model

NAMES = ["Anna", "Otto", "Priya", "Lukas", "Ingrid", "Tomasz", "Chidi", "Yuki"]
SPEC = TaggerSpec(
    name="mini",
    marked=("none",),
    templates="none",
    width=8,
    hidden=8,
    narrow=2,
    epochs=10,
    batch=512,
    learning_rate=2e-2,
    limits={"standard": {"other": 0.5}, "strict": {"other": 0.1, "PERSON": 0.2}},
)


def sentences(count: int) -> list[Annotated]:
    source = random.Random(0)
    texts: list[Annotated] = []
    for _ in range(count):
        name = source.choice(NAMES)
        texts.append(Annotated(f"my name is {name}, thanks", (Mark(11, 11 + len(name), "PERSON"),)))
        texts.append(Annotated(f"please count {source.randrange(99)} boxes again"))
    return texts


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_tagger(sentences(300), {}, SPEC)


def test_every_token_has_the_label_of_the_mark_it_stands_in() -> None:
    text = Annotated("a Bo-Li c ? d", (Mark(2, 7, "PERSON"), Mark(10, 11, UNKNOWN)))
    data = encode([text])
    told = [data.words[number][0] for number in data.numbers]
    assert [word for word in told if word] == ["a", "Bo", "-", "Li", "c", "?", "d"]
    inside = data.labels[data.numbers > 0].tolist()
    assert [LABELS[label] if label >= 0 else "?" for label in inside] == ["O", *["PERSON"] * 3, "O", "?", "O"]


def test_words_outside_of_names_are_plain_and_names_are_not() -> None:
    vocabulary = make_vocabulary(sentences(50), {"thanks": 3, "anna": 3}, SPEC)
    assert vocabulary.plain["boxes"] == 1
    assert vocabulary.plain["thanks"] == 3
    assert not vocabulary.plain.get("anna", 0) & 2
    assert {"boxes", "otto"} <= set(vocabulary.words)


def test_the_vocabulary_keeps_the_most_frequent_words() -> None:
    small = msgspec.structs.replace(SPEC, words=4)
    assert len(make_vocabulary(sentences(50), {}, small).words) == 4


def test_it_learns_what_stands_before_a_name_and_finds_one_nobody_has_seen(fitted: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_tagger(path, fitted, SPEC.limits)
    tagger = load_tagger(path)
    text = "my name is Quorbly, thanks"
    assert [text[start:end] for start, end, _ in tagger.find([text], "standard")[0]] == ["Quorbly"]
    assert tagger.find(["please count 7 boxes again"], "standard") == [[]]


def test_the_file_holds_limits_by_level_and_label(fitted: Fitted, tmp_path: Path) -> None:
    write_tagger(tmp_path / "m", fitted, SPEC.limits)
    limits = load_tagger(tmp_path / "m").limits
    assert set(limits) == {"standard", "strict"}
    assert limits["strict"][LABELS.index("PERSON")] == np.float32(0.2)
    assert limits["strict"][LABELS.index("PLACE")] == np.float32(0.1)
    assert all(limit[0] > 1 for limit in limits.values())


def test_what_is_written_is_what_was_trained(fitted: Fitted, tmp_path: Path) -> None:
    write_tagger(tmp_path / "m", fitted, SPEC.limits)
    tagger = load_tagger(tmp_path / "m")
    assert tagger.labels == LABELS
    assert tagger._vocabulary.words == fitted.vocabulary.words
    assert tagger._weights["rows"].shape == (fitted.vocabulary.size, SPEC.width)
    assert np.array_equal(tagger._weights["out"], fitted.weights["out"].astype(np.float32))


def test_the_same_texts_and_settings_give_the_same_weights() -> None:
    spec = msgspec.structs.replace(SPEC, epochs=1)
    told: list[Told] = []
    one, two = (fit_tagger(sentences(40), {}, spec, told=told.append) for _ in range(2))
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert [each.epoch for each in told] == [1, 1]


def test_training_lowers_the_loss(fitted: Fitted) -> None:
    assert fitted.loss < fit_tagger(sentences(300), {}, msgspec.structs.replace(SPEC, epochs=1)).loss


def test_rows_of_words_come_after_the_shared_ones() -> None:
    assert Vocabulary(["a"], {}).rows("a", spaced=True)[0] == FIRST_ROWS


def test_a_table_without_the_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="standard and strict"):
        TaggerSpec(name="x", marked=("a",), templates="b", limits={"standard": {"other": 0.1}})
    with pytest.raises(ValueError, match="label other"):
        TaggerSpec(name="x", marked=("a",), templates="b", limits={"standard": {}, "strict": {"other": 0.1}})
