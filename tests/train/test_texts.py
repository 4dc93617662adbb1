from pathlib import Path

import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.store.starter import starter_root
from cortex_cli.train.spec import TextSpec
from cortex_cli.train.texts import read_documents, read_rows, tool_call


def read(packs: Path, pack: str, reader: str, share: float = 1.0) -> list[str]:
    text = TextSpec(pack=pack, reader=reader, share=share)  # type: ignore[arg-type]
    return list(read_documents([text], packs))


def test_a_dialogue_keeps_its_speakers_in_order(packs: Path) -> None:
    document = read(packs, "sgd/train", "dialogue")[0]

    assert document.startswith("<|user|>book a flight to paris<|end|><|assistant|>Done: book a flight")
    assert document.endswith("<|end|>")


def test_an_intent_is_told_once_when_it_begins(packs: Path) -> None:
    documents = read(packs, "sgd/train", "intent")

    assert '<|user|>fly me to rome<|assistant|>{"tool": "book_flight"}<|end|>' in documents
    assert not any("none" in document for document in documents)
    # The last dialogue has two turns of one intent: only the first of them begins it.
    assert documents.count('<|user|>book a flight to paris<|assistant|>{"tool": "book_flight"}<|end|>') == 2
    assert documents.count('<|user|>book a flight to seven<|assistant|>{"tool": "book_flight"}<|end|>') == 1


@pytest.mark.parametrize("reader", ["utterance", "keyword"])
def test_labels_of_what_is_measured_later_are_never_read(packs: Path, reader: str) -> None:
    documents = read(packs, "clinc150/train", reader)

    assert documents
    assert not any("set_alarm" in document or "check_balance" in document for document in documents)


def test_keywords_are_rare_words_of_the_request_in_its_order(packs: Path) -> None:
    documents = read(starter_root() / "datasets" / "texts", "clinc150/train", "keyword")
    call = documents[0].split("<|assistant|>")[1]
    request = documents[0].split("<|assistant|>")[0].removeprefix("<|user|>")
    words = call.removeprefix('{"tool": "').removesuffix('"}<|end|>').split("_")

    assert 1 <= len(words) <= 2
    assert sorted(words, key=request.index) == words


def test_calculator_marks_are_taken_out_of_solutions(packs: Path) -> None:
    assert read(packs, "gsm8k/train", "solution") == ["<|user|>What is 2 + 2?<|assistant|>It is 2+2=4.\n#### 4<|end|>"]


def test_commands_and_subjects_are_asked_and_answered(packs: Path) -> None:
    assert read(packs, "tldr/pages", "command")[0] == "<|user|>List paris<|assistant|>ls paris<|end|>"
    assert read(packs, "routellm/mmlu", "subject")[0].endswith('<|assistant|>{"tool": "physics"}<|end|>')


def test_a_share_repeats_or_thins_the_same_documents_every_time(packs: Path) -> None:
    whole = read(packs, "clinc150/train", "utterance")
    half = read(packs, "clinc150/train", "utterance", 0.5)

    assert half == read(packs, "clinc150/train", "utterance", 0.5)
    assert 0.3 * len(whole) < len(half) < 0.7 * len(whole)
    assert len(read(packs, "clinc150/train", "utterance", 2.0)) == 2 * len(whole)


def test_a_pack_that_is_not_there_is_named(packs: Path) -> None:
    with pytest.raises(UsageError, match="text pack 'no/such' is not in"):
        read(packs, "no/such", "dialogue")


def test_every_pack_of_the_shipped_recipe_is_shipped_with_source_and_licence() -> None:
    texts = starter_root() / "datasets" / "texts"

    for folder in sorted(path for path in texts.iterdir() if path.is_dir()):
        licence = [*folder.glob("LICENSE*")]
        source = (folder / "SOURCE.txt").read_text(encoding="utf-8")
        assert licence or "licence" in source, folder.name
        for pack in folder.glob("*.jsonl.gz"):
            assert next(read_rows(pack))


def test_a_tool_call_is_one_json_object() -> None:
    assert tool_call("flip_coin") == '{"tool": "flip_coin"}'
