import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.models.bases import load_network
from cortex_cli.models.embedding import embed, embed_hashed
from cortex_cli.models.encoder import Encoder, EncoderCard, load_encoder, look_both_ways, pool_states, save_card
from tests.models.tiny import make_adapter, make_base

pytestmark = pytest.mark.model

TEXTS = ("book a flight to oslo", "wake me at seven", "wie spät ist es? 时间 🎈", "balance", "play")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), TEXTS)


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    make_adapter(base, folder)
    save_card(folder, EncoderCard(dimension=32))
    return folder


@pytest.fixture(scope="module")
def encoder(base: Path, adapter: Path) -> Encoder:
    return load_encoder(base, adapter)


def with_card(adapter: Path, folder: Path, card: EncoderCard) -> Path:
    folder.mkdir()
    for path in adapter.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    save_card(folder, card)
    return folder


def test_vectors_are_unit_float32_in_the_order_of_the_texts(encoder: Encoder) -> None:
    vectors = encoder.embed(TEXTS)

    assert vectors.shape == (len(TEXTS), 32)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[3], encoder.embed([TEXTS[3]])[0], atol=1e-5)


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6), st.integers(0, 5))
def test_a_vector_does_not_depend_on_what_it_is_padded_beside(encoder: Encoder, others: list[str], place: int) -> None:
    mixed = [*others[:place], TEXTS[1], *others[place:]]

    assert np.allclose(encoder.embed(mixed)[min(place, len(others))], encoder.embed([TEXTS[1]])[0], atol=1e-5)


@given(st.text(max_size=200))
def test_any_text_has_a_finite_vector_and_an_empty_one_the_zero_vector(encoder: Encoder, text: str) -> None:
    vector = encoder.embed([text, ""])

    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector[0]) == pytest.approx(1 if text else 0, abs=1e-4)
    assert not vector[1].any()


def test_no_text_gives_no_vector(encoder: Encoder) -> None:
    assert encoder.embed([]).shape == (0, 32)


def test_the_same_texts_give_the_same_bytes(base: Path, adapter: Path, encoder: Encoder) -> None:
    assert load_encoder(base, adapter).embed(TEXTS).tobytes() == encoder.embed(TEXTS).tobytes()


def test_a_text_longer_than_the_context_is_read_from_its_beginning(encoder: Encoder) -> None:
    head = "wake me at seven " * 60

    assert np.array_equal(encoder.embed([head + "and then"]), encoder.embed([head + "or never"]))


def test_the_first_token_sees_the_last_one_only_when_attention_looks_both_ways(base: Path) -> None:
    network = load_network(base)
    one, other = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[5, 6, 7, 9]])

    def difference() -> float:
        with torch.inference_mode():
            states = [network.base_model(input_ids=ids, use_cache=False).last_hidden_state for ids in (one, other)]
        return float((states[0][:, 0] - states[1][:, 0]).abs().max())

    assert difference() == 0
    look_both_ways(network)
    assert difference() > 1e-3


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_pooling_never_reads_padding(pooling: str) -> None:
    states = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    loud = states.clone()
    loud[0, 2:] = 1e6

    assert torch.equal(pool_states(states, mask, pooling), pool_states(loud, mask, pooling))


def test_mean_and_last_pooling_are_what_they_say() -> None:
    states = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])

    assert torch.allclose(pool_states(states, mask, "mean"), torch.tensor([[0.6, 0.8]]))
    assert torch.allclose(pool_states(states, mask, "last"), torch.tensor([[0.0, 1.0]]))


def test_the_card_decides_on_pooling_and_on_the_direction_of_attention(
    base: Path, adapter: Path, encoder: Encoder, tmp_path: Path
) -> None:
    last = load_encoder(base, with_card(adapter, tmp_path / "last", EncoderCard(dimension=32, pooling="last")))
    back = load_encoder(base, with_card(adapter, tmp_path / "back", EncoderCard(dimension=32, bidirectional=False)))

    vectors = [each.embed(TEXTS[:1])[0] for each in (encoder, last, back)]
    assert all(float(one @ other) < 0.9999 for one, other in pairwise(vectors))


def test_an_adapter_that_was_trained_to_write_is_refused(base: Path, tmp_path: Path) -> None:
    make_adapter(base, tmp_path / "writer")

    with pytest.raises(UsageError, match=r"'writer' has no encoder\.json") as raised:
        load_encoder(base, tmp_path / "writer")
    assert "mntp" in raised.value.hint


@pytest.mark.parametrize("content", ["{", '{"dimension": 0}', '{"dimension": 32, "pooling": "max"}', "{}"])
def test_a_damaged_card_is_told_and_nothing_is_loaded(base: Path, adapter: Path, tmp_path: Path, content: str) -> None:
    folder = with_card(adapter, tmp_path / "damaged", EncoderCard(dimension=32))
    (folder / "encoder.json").write_text(content)

    with pytest.raises(IntegrityError, match=r"encoder\.json' cannot be read"):
        load_encoder(base, folder)


def test_a_card_for_another_base_is_told(base: Path, adapter: Path, tmp_path: Path) -> None:
    folder = with_card(adapter, tmp_path / "other", EncoderCard(dimension=64))

    with pytest.raises(IntegrityError, match="gives 64 dimensions, its base 32"):
        load_encoder(base, folder)


def test_the_card_is_plain_json(adapter: Path) -> None:
    card = json.loads((adapter / "encoder.json").read_text())

    assert card == {"pooling": "mean", "bidirectional": True, "dimension": 32, "hashed": 0.0}


def test_embed_gives_hashed_vectors_without_a_model_and_those_of_a_model_with_one(encoder: Encoder) -> None:
    assert np.array_equal(embed(TEXTS), embed_hashed(TEXTS))
    assert np.array_equal(embed(TEXTS, encoder), encoder.embed(TEXTS))


def test_the_cosine_of_a_blend_is_the_weighed_mean_of_both(base: Path, adapter: Path, tmp_path: Path) -> None:
    blend = load_encoder(base, with_card(adapter, tmp_path / "blend", EncoderCard(dimension=32, hashed=0.25)))

    vectors, hashed, trained = embed(TEXTS, blend), embed_hashed(TEXTS), blend.embed(TEXTS)

    assert vectors.dtype == np.float32
    assert np.allclose(vectors @ vectors.T, 0.25 * hashed @ hashed.T + 0.75 * trained @ trained.T, atol=1e-5)
    assert not embed(["", "x"], blend)[0].any()
