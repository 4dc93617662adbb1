from pathlib import Path

import pytest
import torch

from cortex_cli.domain.errors import IntegrityError, NotBuiltError, UsageError
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Model
from cortex_cli.domain.tables import parse_toml
from cortex_cli.models.bases import WEIGHT_FILES, check_folder, digest_folder, find_folder, load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.generation import LocalModel, load_model
from cortex_cli.models.sampling import Sampling
from cortex_cli.store.starter import starter_root

pytestmark = pytest.mark.model

ASKED = ["book a flight to rome", "hi", "what is the balance of my savings account at the moment", "play abba"]


@pytest.fixture(scope="module")
def folder() -> Path:
    return starter_root() / "registry" / "models" / "cortex-tiny"


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    return load_model(folder, max_tokens=12)


def shipped() -> Model:
    path = starter_root() / "registry" / "models" / "cortex-tiny.toml"
    return parse_toml(path.read_text(), Model, source=str(path))


def test_the_shipped_base_is_the_one_its_manifest_names(folder: Path) -> None:
    manifest = shipped()

    assert find_folder(manifest, starter_root(), Path("/nowhere")) == folder
    assert digest_folder(folder) == manifest.digest
    assert (folder / "model.safetensors").stat().st_size <= 12_000_000
    assert (folder / "README.md").read_text().count("| ") > 5


def test_greedy_answers_are_those_of_the_library(model: LocalModel, folder: Path) -> None:
    network = load_network(folder)
    answers = model([(Message("user", text),) for text in ASKED])

    for text, answer in zip(ASKED, answers, strict=True):
        ids = torch.tensor([model.tokenizer.encode_prompt((Message("user", text),))])
        wanted = network.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )[0, ids.shape[1] :].tolist()
        stop = wanted.index(model.tokenizer.end) if model.tokenizer.end in wanted else len(wanted)
        assert answer.text == model.tokenizer.decode(wanted[:stop])
        assert answer.tokens_in == ids.shape[1]
        assert answer.tokens_out == stop


def test_an_answer_does_not_depend_on_its_batch(model: LocalModel) -> None:
    together = [answer.text for answer in model([(Message("user", text),) for text in ASKED])]
    alone = [model([(Message("user", text),)])[0].text for text in ASKED]

    assert together == alone


def test_the_log_probability_of_an_answer_is_that_of_its_tokens(model: LocalModel) -> None:
    answer = model([(Message("user", ASKED[0]),)])[0]
    prompt = model.tokenizer.encode_prompt((Message("user", ASKED[0]),))
    ids = [*prompt, *model.tokenizer.encode(answer.text)]
    if answer.finish == "stop":
        ids.append(model.tokenizer.end)
    with torch.inference_mode():
        scores = model.network(torch.tensor([ids])).logits[0].log_softmax(-1)
    picked = [scores[place - 1, ids[place]].item() for place in range(len(prompt), len(ids))]

    assert answer.logprob == pytest.approx(sum(picked) / len(picked), abs=1e-3)


def test_an_answer_that_reaches_the_bound_says_so(folder: Path) -> None:
    answer = load_model(folder, max_tokens=1)([(Message("user", ASKED[2]),)])[0]

    assert answer.finish == "length"
    assert answer.tokens_out == 1


def test_a_stream_is_the_answer_piece_by_piece(model: LocalModel) -> None:
    for text in ASKED:
        pieces = list(model.stream((Message("user", text),)))
        (answer,) = model([(Message("user", text),)])
        told = pieces[-1].answer

        assert told is not None
        assert (told.text, told.finish, told.tokens_out) == (answer.text, answer.finish, answer.tokens_out)
        assert "".join(piece.text for piece in pieces) == answer.text
        assert sum(piece.logprob for piece in pieces) / len(pieces) == pytest.approx(told.logprob)
        assert [piece.answer for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


def test_a_stop_text_ends_an_answer_before_it_and_is_never_streamed(model: LocalModel) -> None:
    (whole,) = model([(Message("user", ASKED[0]),)])
    middle = whole.text[5:8]
    stopping = model.sampled(Sampling(stop=("never", middle)))
    (answer,) = stopping([(Message("user", ASKED[0]),)])
    pieces = [piece.text for piece in stopping.stream((Message("user", ASKED[0]),))]

    assert answer.text == whole.text[: whole.text.index(middle)]
    assert answer.finish == "stop"
    assert "".join(pieces) == answer.text


def test_what_is_drawn_depends_on_seed_and_prompt_and_not_on_the_batch(model: LocalModel) -> None:
    hot = model.sampled(Sampling(temperature=1.5, top_p=0.98, seed=1))
    prompts = [(Message("user", text),) for text in ASKED]
    together = [answer.text for answer in hot(prompts)]

    assert together == [hot([prompt])[0].text for prompt in prompts]
    assert together == [answer.text for answer in hot(prompts)]
    other = model.sampled(Sampling(temperature=1.5, top_p=0.98, seed=2))
    assert together != [answer.text for answer in other(prompts)]


def test_the_same_prompt_asked_twice_is_drawn_twice(model: LocalModel) -> None:
    hot = model.sampled(Sampling(temperature=2.0))
    answers = hot([(Message("user", ASKED[2]),)] * 6)

    assert len({answer.text for answer in answers}) > 1
    assert answers[0].text == hot([(Message("user", ASKED[2]),)])[0].text


def test_a_prompt_longer_than_the_context_is_an_answer_that_says_so(model: LocalModel) -> None:
    long = (Message("user", "word " * 600),)
    answers = model([(Message("user", ASKED[0]),), long])
    (piece,) = model.stream(long)

    assert answers[0].finish != "error"
    assert answers[1].finish == "error"
    assert "the model's context is 512" in answers[1].error
    assert piece.answer == answers[1]


def test_an_answer_ends_where_the_context_does(model: LocalModel) -> None:
    size = 1
    while len(model.tokenizer.encode_prompt((Message("user", "the " * size),))) < 500:
        size += 1
    prompt = (Message("user", "the " * size),)
    free = 512 - len(model.tokenizer.encode_prompt(prompt))
    (answer,) = model.sampled(Sampling(temperature=5.0), max_tokens=100)([prompt])

    assert answer.tokens_out <= free
    assert answer.finish == ("length" if answer.tokens_out == free else "stop")


def test_the_cache_of_a_batch_is_bounded(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [(Message("user", text),) for text in ASKED]
    wanted = [answer.text for answer in model(prompts)]
    monkeypatch.setattr("cortex_cli.models.generation._CACHE_BYTES", 1)

    assert [answer.text for answer in model(prompts)] == wanted


def test_no_prompts_need_no_answers(model: LocalModel) -> None:
    assert model([]) == []


def test_a_conversation_keeps_its_turns_in_the_template(folder: Path) -> None:
    tokenizer = ChatTokenizer(folder)
    ids = tokenizer.encode_prompt(
        (Message("system", "s"), Message("user", "one"), Message("assistant", "two"), Message("user", "three"))
    )

    text = "<|system|>s<|end|><|user|>one<|end|><|assistant|>two<|end|><|user|>three<|assistant|>"
    assert ids == tokenizer.encode(text)


def test_altered_weights_are_found_before_they_are_loaded(folder: Path, tmp_path: Path) -> None:
    for name in WEIGHT_FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    check_folder(shipped(), tmp_path)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")

    with pytest.raises(IntegrityError, match="model 'cortex-tiny' changed"):
        check_folder(shipped(), tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    model = Model(name="mine", kind="local", source="models/mine")

    with pytest.raises(UsageError, match=r"model 'mine' has no config\.json, model\.safetensors, tokenizer\.json"):
        find_folder(model, starter_root(), tmp_path)


def test_a_hub_model_needs_its_revision_pinned(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without a revision"):
        find_folder(Model(name="q", kind="hub", source="org/name"), starter_root(), tmp_path)


def test_kinds_that_are_still_to_come_say_so(tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match="models of kind ollama"):
        find_folder(Model(name="q", kind="ollama", source="q"), starter_root(), tmp_path)


def test_a_base_without_a_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in (*WEIGHT_FILES, "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = tmp_path / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"chat_template"', '"other"'))

    with pytest.raises(UsageError, match="has no chat template"):
        ChatTokenizer(tmp_path)
