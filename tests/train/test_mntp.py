from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.encoder import load_encoder, look_both_ways
from cortex_cli.train.batches import Row
from cortex_cli.train.fitting import Fitted, fit_adapter
from cortex_cli.train.loop import Progress
from cortex_cli.train.mntp import EncoderLoss, encode_texts, pair_texts, prepare
from cortex_cli.train.objectives import MntpSpec
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.models.tiny import make_base
from tests.train.conftest import requests

pytestmark = pytest.mark.model

SPEC = TrainSpec(
    agent="dispatch",
    dataset="dispatch",
    objective="mntp",
    min_examples=4,
    lora=LoraSpec(rank=8, alpha=16.0),
    loop=LoopSpec(learning_rate=5e-3, batch_tokens=256, epochs=3.0, window=64, checkpoint_every=5, threads=1),
)
PAD, HIDDEN = 0, 1


class Killed(BaseException):
    """Stands for a signal that arrives between two steps."""


def silent(_progress: Progress) -> None:
    pass


def example(name: str, text: str, answer: str = "ok") -> Example:
    return Example(id=name, agent="dispatch", messages=(Message("user", text),), answer=answer, source="accepted")


def examples() -> list[Example]:
    return [example(f"x-{number}", text, intent) for number, (text, intent) in enumerate(requests())]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), [text for text, _ in requests()])


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> ChatTokenizer:
    return ChatTokenizer(base)


@pytest.fixture(scope="module")
def network(base: Path) -> Any:
    network = load_network(base)
    look_both_ways(network)
    return network


def objective(network: Any, groups: dict[str, int] | None = None, **settings: Any) -> EncoderLoss:
    return EncoderLoss(network, (PAD, HIDDEN), MntpSpec(**settings), groups or {})


def text_row(name: str, ids: tuple[int, ...], pair: Row | None = None) -> Row:
    return Row(ids, (), name, pair=pair)


@given(st.lists(st.integers(2, 30), min_size=1, max_size=8), st.floats(0.05, 0.9), st.integers(0, 99))
def test_the_share_of_a_text_is_hidden_but_never_its_first_token_nor_padding(
    network: Any, lengths: list[int], share: float, seed: int
) -> None:
    seen = torch.tensor([[1] * length + [0] * (max(lengths) - length) for length in lengths])
    torch.manual_seed(seed)
    hide = objective(network, mask=share)._draw(seen)

    assert not hide[:, 0].any()
    assert not (hide & (seen == 0)).any()
    for count, length in zip(hide.sum(1).tolist(), lengths, strict=True):
        assert 1 <= count <= length - 1
        assert abs(count - share * (length - 1)) <= 1


def test_each_hidden_token_is_predicted_from_the_position_before_it(network: Any) -> None:
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    hide = torch.tensor([[False, True, False, True], [False, False, True, False]])
    shown = ids.masked_fill(hide, HIDDEN)
    with torch.inference_mode():
        states = network.base_model(input_ids=shown, use_cache=False).last_hidden_state
        scores = network(input_ids=shown, use_cache=False).logits.log_softmax(-1)
        found = float(objective(network).predict(states, ids, hide))

    first = -(scores[0, 0, 6] + scores[0, 2, 8]) / 2
    assert found == pytest.approx(float(first - scores[1, 1, 11]), abs=1e-4)


def test_a_masked_token_can_be_read_from_what_comes_after_it(network: Any) -> None:
    one, other = (torch.tensor([[5, HIDDEN, 7, last]]) for last in (8, 9))
    with torch.inference_mode():
        before, after = (network(input_ids=ids, use_cache=False).logits[0, 0] for ids in (one, other))

    assert float((before - after).abs().max()) > 1e-4


def test_padding_does_not_change_the_loss_of_a_text(network: Any) -> None:
    short, long = text_row("a", (5, 6)), text_row("b", (7, 8, 9, 10, 11, 12))
    loss = objective(network, mask=0.95)  # all that can be hidden is
    with torch.inference_mode():
        alone = float(loss.loss([short])) + float(loss.loss([long]))
        together = float(loss.loss([short, long]))

    assert together == pytest.approx(alone, abs=1e-4)


def test_without_contrast_the_loss_is_the_same_in_any_parts(network: Any) -> None:
    rows = [text_row(f"t{number}", tuple(range(5, 8 + number))) for number in range(4)]
    loss = objective(network, mask=0.95)
    with torch.inference_mode():
        whole = float(loss.loss(rows))
        parts = sum(float(loss.loss(rows[start : start + 2])) for start in (0, 2))

    assert parts == pytest.approx(whole, abs=1e-4)


def unit(*angles: float) -> torch.Tensor:
    turned = torch.tensor(angles)
    return torch.stack([turned.cos(), turned.sin()], dim=1)


def test_contrast_falls_as_a_text_nears_its_pair_and_leaves_the_others(network: Any) -> None:
    rows = [text_row(name, (5, 6)) for name in ("a", "b", "a", "b")]
    loss = objective(network, {"a": 0, "b": 1}, contrast=1.0)

    near, middle, wrong = (
        float(loss.tell_apart(unit(*angles), rows)) for angles in ((0, 2, 0, 2), (0, 2, 0.5, 1.5), (0, 2, 2, 0))
    )
    assert near < middle < wrong


def test_the_gradient_of_contrast_draws_a_pair_together(network: Any) -> None:
    rows = [text_row(name, (5, 6)) for name in ("a", "b", "a", "b")]
    vectors = unit(0, 2, -0.5, 2.5).requires_grad_()
    loss = objective(network, {"a": 0, "b": 1}, contrast=1.0, temperature=1.0).tell_apart(vectors, rows)
    (gradient,) = torch.autograd.grad(loss, vectors)
    vectors = vectors.detach()
    moved = torch.nn.functional.normalize(vectors - 0.01 * gradient, dim=1)

    assert float(moved[0] @ moved[2]) > float(vectors[0] @ vectors[2])
    assert float(moved[0] @ moved[1]) < float(vectors[0] @ vectors[1])


@given(st.permutations(range(3)))
def test_contrast_does_not_depend_on_the_order_of_the_batch(network: Any, order: list[int]) -> None:
    names = ["a", "b", "c"]
    vectors = unit(0, 1, 2, 0.2, 1.3, 2.5)
    loss = objective(network, {"a": 0, "b": 1, "c": 2}, contrast=1.0)
    rows = [text_row(name, (5, 6)) for name in names * 2]
    places = [*order, *(3 + index for index in order)]

    mixed = float(loss.tell_apart(vectors[places], [rows[place] for place in places]))
    assert mixed == pytest.approx(float(loss.tell_apart(vectors, rows)), abs=1e-4)


def test_texts_of_the_same_answer_are_never_held_apart(network: Any) -> None:
    rows = [text_row(name, (5, 6)) for name in ("a", "b", "a", "b")]
    vectors = unit(0, 0.1, 0.2, 0.3)
    same = objective(network, {"a": 0, "b": 0}, contrast=1.0)

    assert float(same.tell_apart(vectors, rows)) == pytest.approx(0, abs=1e-6)
    other = objective(network, {"a": 0, "b": 1}, contrast=1.0)
    assert float(other.tell_apart(vectors, rows)) > 1


def test_a_text_is_read_once_and_what_cannot_be_learned_is_counted(tokenizer: ChatTokenizer) -> None:
    given_ = [example("a", "set an alarm"), example("b", "set an alarm"), example("c", ""), example("d", "word " * 99)]

    rows, counts = encode_texts(given_, tokenizer, 64)

    assert [row.example for row in rows] == ["a"]
    assert counts == {"too_long": 1, "empty": 1, "repeated": 1}
    assert tokenizer.decode(rows[0].ids) == "set an alarm"


def test_a_pair_is_another_text_of_the_group_or_the_text_itself() -> None:
    rows = [text_row(name, (number, 9)) for number, name in enumerate(("a", "b", "c"))]

    paired = pair_texts(rows, {"a": 0, "b": 0, "c": 1}, 0)

    assert [row.pair.example for row in paired if row.pair] == ["b", "a", "c"]


def test_positives_are_answers_where_the_recipe_says_so(base: Path, tokenizer: ChatTokenizer) -> None:
    answers = {one.id: one.answer for one in examples()}
    for positives in ("answers", "views"):
        table = MntpSpec(contrast=1.0, positives=msgspec.convert(positives, type=Any))
        prepared = prepare(examples(), tokenizer, load_network(base), msgspec.structs.replace(SPEC, mntp=table))
        pairs = [(row.example, row.pair.example) for row in prepared.rows if row.pair]

        assert all(answers[one] == answers[other] for one, other in pairs)
        assert all((one == other) == (positives == "views") for one, other in pairs)
        assert prepared.counts["alone"] == (len(pairs) if positives == "views" else 0)


def fit(base: Path, run: Path, table: MntpSpec, watch: Any = silent) -> Fitted:
    return fit_adapter(examples(), base, msgspec.structs.replace(SPEC, mntp=table), run, watch=watch)


CONTRAST = MntpSpec(contrast=1.0, positives="answers", hashed=0.5)


@pytest.mark.parametrize("table", [MntpSpec(), MntpSpec(contrast=1.0), CONTRAST], ids=["mntp", "views", "answers"])
def test_training_lowers_the_loss_and_leaves_an_encoder(base: Path, tmp_path: Path, table: MntpSpec) -> None:
    seen: list[float] = []
    fitted = fit(base, tmp_path, table, lambda progress: seen.append(progress.loss))

    assert fitted.result.loss < sum(seen[:5]) / 5
    assert fitted.figures == {"dimension": 32.0}
    encoder = load_encoder(base, fitted.folder)
    assert encoder.hashed == table.hashed
    assert encoder.embed(["set an alarm"]).shape == (1, 32)


def test_texts_of_one_answer_come_nearer_to_each_other_than_to_the_rest(base: Path, tmp_path: Path) -> None:
    fitted = fit(base, tmp_path, CONTRAST)
    asked = examples()
    vectors = load_encoder(base, fitted.folder).embed([one.messages[0].content for one in asked])
    same = np.array([[one.answer == other.answer for other in asked] for one in asked])
    cosines = vectors @ vectors.T

    assert cosines[same].mean() > cosines[~same].mean() + 0.3


def test_a_killed_run_goes_on_to_the_same_bytes(base: Path, tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 8:
            raise Killed

    with pytest.raises(Killed):
        fit(base, tmp_path / "killed", CONTRAST, kill)
    seen: list[int] = []
    resumed = fit(base, tmp_path / "killed", CONTRAST, lambda progress: seen.append(progress.step))
    whole = fit(base, tmp_path / "whole", CONTRAST)

    assert seen[0] == 6  # the checkpoint of step 5 was the last
    for name in ("adapter_model.safetensors", "encoder.json"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize(
    "values",
    [{"mask": 0.0}, {"mask": 1.0}, {"predict": 0.0}, {"predict": -1.0}, {"hashed": 1.0}, {"mask_text": ""}],
)
def test_a_table_that_cannot_train_an_encoder_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, type=MntpSpec)
