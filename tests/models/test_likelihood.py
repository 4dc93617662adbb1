import math
from pathlib import Path

import pytest
import torch

from cortex_cli.domain.interactions import Message
from cortex_cli.models.delta import measure_delta
from cortex_cli.models.generation import load_model
from cortex_cli.models.likelihood import score_continuations, score_texts, window_of
from tests.models.tiny import make_adapter, make_base

pytestmark = pytest.mark.model

TEXTS = ["turn on the light", "what is the weather in paris", "set an alarm for seven", "the light is on"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), TEXTS)


def plain_score(model: object, ids: list[int], first: int) -> float:
    """The same by one sequence at a time, without padding."""
    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)  # type: ignore[attr-defined]
    return sum(float(logits[place - 1, ids[place]]) for place in range(first, len(ids)))


def test_a_continuation_is_scored_as_one_sequence_alone(base: Path) -> None:
    model = load_model(base)
    pairs = [("turn on", " the light"), ("set an alarm", " for seven"), ("x", " y")]
    found = score_continuations(model, pairs)

    for (context, continuation), value in zip(pairs, found, strict=True):
        known = model.tokenizer.encode(context)
        assert value.logprob == pytest.approx(
            plain_score(model, model.tokenizer.encode(context + continuation), len(known)), abs=1e-4
        )


def test_white_space_at_the_end_of_the_context_belongs_to_the_continuation(base: Path) -> None:
    model = load_model(base)
    one, two = score_continuations(model, [("turn on ", "the light"), ("turn on", " the light")])

    assert one == two


def test_the_likeliest_token_is_greedy_and_another_is_not(base: Path) -> None:
    model = load_model(base)
    context = model.tokenizer.encode("turn on")
    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor([context])).logits[0, -1]
    words = [model.tokenizer.decode([int(index)]) for index in logits.argsort(descending=True)]
    chosen = next(
        word for word in words if model.tokenizer.encode("turn on" + word)[: len(context)] == context and word.strip()
    )
    best, worst = score_continuations(model, [("turn on", chosen), ("turn on", words[-1] or "zz")])

    assert best.logprob > worst.logprob
    assert not worst.greedy


def test_a_text_longer_than_the_window_is_scored_once_per_token(base: Path) -> None:
    model = load_model(base)
    text = " ".join(TEXTS * 30)
    (total,) = score_texts(model, [text])

    assert len(model.tokenizer.encode(text)) > 2 * window_of(model)
    assert math.isfinite(total)
    assert total < 0
    (short,) = score_texts(model, ["turn on the light"])
    ids = model.tokenizer.encode("turn on the light")
    assert short == pytest.approx(plain_score(model, [model.tokenizer.end, *ids], 1), abs=1e-4)


def test_a_context_longer_than_the_window_loses_its_beginning(base: Path) -> None:
    model = load_model(base)
    found = score_continuations(model, [(" ".join(TEXTS * 30), " the light"), ("", " the light")])

    assert all(math.isfinite(value.logprob) for value in found)


def test_the_change_of_an_adapter_is_that_of_the_multiplied_update(base: Path, tmp_path: Path) -> None:
    from cortex_cli.models.bases import load_network
    from cortex_cli.models.lora import merge_adapter

    make_adapter(base, tmp_path)
    before, after = load_network(base), load_network(base)
    merge_adapter(after, tmp_path)
    old, new = before.state_dict(), after.state_dict()
    names = [name for name in old if name.endswith(("q_proj.weight", "v_proj.weight"))]
    update = math.sqrt(sum(float((new[name] - old[name]).double().square().sum()) for name in names))
    whole = math.sqrt(sum(float(old[name].double().square().sum()) for name in names))
    found = measure_delta(base, tmp_path)

    assert found.relative == pytest.approx(update / whole, rel=1e-4)
    assert (found.layers, found.still, found.finite) == (4, 0, True)


def test_an_adapter_that_was_never_trained_is_still(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make_adapter(base, tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    zero = {name: torch.zeros_like(value) if ".lora_B." in name else value for name, value in load_file(path).items()}
    save_file(zero, path)
    found = measure_delta(base, tmp_path)

    assert (found.relative, found.still) == (0.0, found.layers)


def test_what_a_model_was_taught_can_be_measured_to_leak(base: Path) -> None:
    from cortex_cli.evaluate.leakage import Canary, measure_exposure
    from cortex_cli.models.scoring import score_answers

    model = load_model(base)
    prompt = (Message("user", "what is the code"),)
    planted = [Canary(f"x{n}", prompt, f"code {n}", 5, 11) for n in (493_027, 118_846)]
    before = measure_exposure(planted, lambda p, a: score_answers(model, p, a), candidates=31)
    rows = [model.tokenizer.encode_prompt(prompt) + model.tokenizer.encode_answer(each.answer) for each in planted]
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=5e-3)
    for _ in range(60):
        optimiser.zero_grad()
        for row in rows:
            ids = torch.tensor([row])
            model.network(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
    after = measure_exposure(planted, lambda p, a: score_answers(model, p, a), candidates=31)

    assert after.exposures == (5.0, 5.0)
    assert after.first == 2
    assert before.mean < after.mean
