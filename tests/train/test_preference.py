import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.train.batches import Row
from cortex_cli.train.fitting import Fitted, fit_adapter
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Progress
from cortex_cli.train.objectives import PreferenceSpec
from cortex_cli.train.preference import (
    PairLoss,
    SideLoss,
    encode_pairs,
    encode_sides,
    measure_held_out,
    measure_preference,
    prepare,
    with_reference,
)
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.models.tiny import make_base

pytestmark = pytest.mark.model

ORACLE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "trl_preference.json").read_text())
BETA, SFT = ORACLE["settings"]["beta"], ORACLE["settings"]["sft"]
SIDES = [(ORACLE["pairs"][pair][0], ORACLE["pairs"][pair][side], wanted) for pair, side, wanted in ORACLE["sides"]]
FLOAT = LoopSpec(dtype="float32")


class Killed(BaseException):
    """Stands for a signal that arrives between two steps."""


def silent(_progress: Progress) -> None:
    pass


def network(side: str) -> Any:
    """Return the policy or the reference, made as the script that recorded TRL's figures makes it."""
    path = Path(__file__).parents[2] / "scripts" / "fixtures" / "trl_preference.py"
    spec = importlib.util.spec_from_file_location("trl_preference", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.make_network(ORACLE["phases"][side])


@pytest.fixture(scope="module")
def policy() -> LanguageLoss:
    return LanguageLoss(network("policy"), 0, FLOAT)


@pytest.fixture(scope="module")
def reference() -> LanguageLoss:
    return LanguageLoss(network("reference"), 0, FLOAT)


def row(prompt: list[int], answer: list[int], name: str, *, wanted: bool = True) -> Row:
    end = len(prompt) + len(answer)
    return Row((*prompt, *answer), ((len(prompt), end),), name, wanted=wanted)


def pairs(reference: LanguageLoss) -> list[Row]:
    rows = [
        replace(row(prompt, good, f"p{number}"), pair=row(prompt, bad, f"p{number}", wanted=False))
        for number, (prompt, good, bad) in enumerate(ORACLE["pairs"])
    ]
    return with_reference(reference, rows, 64)


def sides(reference: LanguageLoss) -> list[Row]:
    rows = [
        replace(row(prompt, answer, f"s{number}", wanted=wanted), pair=row(prompt, SIDES[number - 1][1], f"s{number}"))
        for number, (prompt, answer, wanted) in enumerate(SIDES)
    ]
    return with_reference(reference, rows, 64)


def kto(policy: LanguageLoss, **weights: float) -> SideLoss:
    chosen = {"wanted": ORACLE["settings"]["wanted"], "unwanted": ORACLE["settings"]["unwanted"], **weights}
    return SideLoss(policy, PreferenceSpec(loss="kto", beta=BETA), **chosen)


def check_against(expected: dict[str, Any], objective: PairLoss | SideLoss, rows: list[Row]) -> None:
    """Compare the mean loss of *rows* and the norms of its gradients with what TRL computed."""
    objective.network.zero_grad()
    loss = objective.loss(rows) / sum(objective.weigh(each) for each in rows)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(expected["loss"], abs=1e-5)
    found = dict(objective.network.named_parameters())
    for name, norm in expected["gradient"].items():
        gradient = found[name].grad
        assert gradient is not None
        assert float(gradient.norm()) == pytest.approx(norm, rel=1e-4)


def test_dpo_loss_gradient_and_rewards_are_those_of_trl(policy: LanguageLoss, reference: LanguageLoss) -> None:
    objective = PairLoss(policy, PreferenceSpec(beta=BETA))
    expected = ORACLE["dpo"]["plain"]

    check_against(expected, objective, pairs(reference))
    good, bad = objective.rewards(pairs(reference))
    assert float(good.mean()) == pytest.approx(expected["metrics"]["rewards/chosen"], abs=1e-5)
    assert float(bad.mean()) == pytest.approx(expected["metrics"]["rewards/rejected"], abs=1e-5)
    measured = measure_preference(objective, pairs(reference))
    assert measured["reward_accuracy"] == pytest.approx(expected["metrics"]["rewards/accuracies"], abs=1e-6)
    assert measured["reward_margin"] == pytest.approx(expected["metrics"]["rewards/margins"], abs=1e-5)


def test_dpo_smoothing_is_that_share_of_trls_loss_with_the_answers_swapped(
    policy: LanguageLoss, reference: LanguageLoss
) -> None:
    share = ORACLE["settings"]["smoothing"]
    objective = PairLoss(policy, PreferenceSpec(beta=BETA, smoothing=share))
    plain, swapped = (ORACLE["dpo"][name]["loss"] for name in ("plain", "swapped"))

    mean = float(objective.loss(pairs(reference)).detach()) / 3

    assert mean == pytest.approx((1 - share) * plain + share * swapped, abs=1e-5)


def test_dpo_with_a_share_of_plain_loss_is_that_of_trl(policy: LanguageLoss, reference: LanguageLoss) -> None:
    objective = PairLoss(policy, PreferenceSpec(beta=BETA, sft=SFT))

    check_against(ORACLE["dpo"]["sft_of_first"], objective, pairs(reference)[:1])


def test_kto_loss_gradient_divergence_and_rewards_are_those_of_trl(
    policy: LanguageLoss, reference: LanguageLoss
) -> None:
    objective, rows, metrics = kto(policy), sides(reference), ORACLE["kto"]["metrics"]

    check_against(ORACLE["kto"], objective, rows)
    assert float(objective.divergence(rows)) == pytest.approx(metrics["kl"], abs=1e-5)
    assert metrics["kl"] > 0.1  # the clamp at 0 would hide a wrong divergence
    rewards = objective.rewards(rows).tolist()
    wanted = [value for value, each in zip(rewards, rows, strict=True) if each.wanted]
    assert sum(wanted) / len(wanted) == pytest.approx(metrics["rewards/chosen"], abs=1e-5)
    assert measure_preference(objective, rows)["reward_margin"] == pytest.approx(metrics["rewards/margins"], abs=1e-5)


@given(st.permutations(range(3)), st.integers(1, 3))
def test_the_loss_of_pairs_is_the_same_in_any_order_and_in_any_parts(
    policy: LanguageLoss, reference: LanguageLoss, order: list[int], size: int
) -> None:
    objective, rows = PairLoss(policy, PreferenceSpec(beta=BETA, sft=SFT)), pairs(reference)
    with torch.no_grad():
        whole = float(objective.loss(rows))
        shuffled = [rows[index] for index in order]
        parts = sum(float(objective.loss(shuffled[start : start + size])) for start in range(0, 3, size))

    assert parts == pytest.approx(whole, abs=1e-5)


@given(st.floats(-6, 6), st.floats(0, 0.45))
def test_dpo_depends_on_the_margin_alone_and_is_bounded_from_below(
    policy: LanguageLoss, reference: LanguageLoss, shift: float, smoothing: float
) -> None:
    objective = PairLoss(policy, PreferenceSpec(beta=BETA, smoothing=smoothing))
    rows = pairs(reference)
    moved = [replace(each, reference=(each.reference[0] + shift, each.reference[1] + shift)) for each in rows]
    with torch.no_grad():
        one, other = float(objective.loss(rows)), float(objective.loss(moved))

    assert one == pytest.approx(other, abs=1e-4)
    assert one > 0


def test_a_step_down_the_gradient_raises_what_is_wanted_against_the_rest(reference: LanguageLoss) -> None:
    for kind in ("dpo", "kto"):
        language = LanguageLoss(network("policy"), 0, FLOAT)
        rows = with_reference(language, pairs(reference) if kind == "dpo" else sides(reference), 64)
        objective: PairLoss | SideLoss
        objective = PairLoss(language, PreferenceSpec(beta=BETA)) if kind == "dpo" else kto(language)
        before = measure_preference(objective, rows)["reward_margin"]
        objective.loss(rows).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for value in objective.network.parameters():
                if value.grad is not None:
                    value.add_(value.grad, alpha=-0.01)

        assert before == pytest.approx(0, abs=1e-5)
        assert measure_preference(objective, rows)["reward_margin"] > 0.01


def test_where_training_begins_the_loss_of_a_pair_is_the_logarithm_of_two(policy: LanguageLoss) -> None:
    rows = with_reference(policy, pairs(policy), 64)
    objective = PairLoss(policy, PreferenceSpec(beta=BETA))

    assert float(objective.loss(rows).detach()) / 3 == pytest.approx(0.6931472, abs=1e-5)


def test_an_answer_that_is_not_wanted_never_weighs_on_the_wanted_side(
    policy: LanguageLoss, reference: LanguageLoss
) -> None:
    rows = sides(reference)
    good = [each for each in rows if each.wanted]
    with torch.no_grad():
        one, other = (float(kto(policy, unwanted=weight).loss(good)) for weight in (1.0, 7.0))

    assert one == other


def test_reference_does_not_depend_on_the_batch_a_row_was_in(reference: LanguageLoss) -> None:
    rows = pairs(reference)
    for budget in (1, 16, 1000):
        for one, other in zip(with_reference(reference, rows, budget), rows, strict=True):
            assert one.reference == pytest.approx(other.reference, abs=1e-5)


def example(number: int, answer: str, rejected: str = "", source: str = "correction") -> Example:
    return Example(
        id=f"x-{number}",
        agent="dispatch",
        messages=(Message("user", f"say {number}"),),
        answer=answer,
        rejected=rejected,
        source=msgspec.convert(source, type=Any),
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("yes", "no", "maybe", "say 1", "say 2", "say it again")
    return make_base(tmp_path_factory.mktemp("base"), words)


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> ChatTokenizer:
    return ChatTokenizer(base)


def test_pairs_need_two_different_answers_that_fit(tokenizer: ChatTokenizer) -> None:
    given_ = [example(1, "yes", "no"), example(2, "yes"), example(3, "yes", "yes"), example(4, "yes", "no " * 60)]

    rows, counts = encode_pairs(given_, tokenizer, 32)

    assert [each.example for each in rows] == ["x-1"]
    assert counts == {"too_long": 1, "no_pair": 2}
    pair = rows[0].pair
    assert pair is not None
    start, end = pair.learned[0]
    assert tokenizer.decode(pair.ids[start:end]) == "no"
    assert pair.ids[-1] == tokenizer.end


def test_every_answer_is_one_side_and_a_repeated_one_is_taken_once(tokenizer: ChatTokenizer) -> None:
    given_ = [example(1, "yes", "no"), example(1, "yes", "maybe", "pair"), example(2, "maybe")]

    rows, _ = encode_sides(given_, tokenizer, 64)

    told = [(tokenizer.decode(each.ids[each.learned[0][0] :]), each.wanted) for each in rows]
    assert told == [("yes", True), ("no", False), ("maybe", False), ("maybe", True)]


def test_a_mismatched_answer_belongs_to_another_prompt(tokenizer: ChatTokenizer) -> None:
    given_ = [example(1, "yes", "no"), example(2, "maybe")]

    rows, counts = encode_sides(given_, tokenizer, 64)

    told = [tokenizer.decode(each.pair.ids[each.pair.learned[0][0] :]) for each in rows if each.pair]
    assert told == ["maybe", "maybe", "no"]
    assert counts["no_pair"] == 0


def test_without_another_prompt_there_is_no_divergence_and_kto_still_learns(
    tokenizer: ChatTokenizer, policy: LanguageLoss
) -> None:
    rows, counts = encode_sides([example(1, "yes", "no")], tokenizer, 64)

    assert counts["no_pair"] == 2
    assert float(kto(policy).divergence(rows)) == 0


SPEC = TrainSpec(
    agent="dispatch",
    dataset="dispatch",
    objective="preference",
    min_examples=4,
    lora=LoraSpec(rank=4, alpha=8.0, targets=("q_proj", "v_proj", "up_proj")),
    loop=LoopSpec(learning_rate=5e-3, batch_tokens=96, epochs=6.0, window=64, checkpoint_every=4, threads=1),
)


def examples() -> list[Example]:
    return [example(number, "yes", "no") for number in range(12)]


def fit(base: Path, run: Path, loss: str, watch: Any = silent) -> Fitted:
    spec = msgspec.structs.replace(SPEC, preference=msgspec.convert({"loss": loss}, type=PreferenceSpec))
    return fit_adapter(examples(), base, spec, run, watch=watch)


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_training_prefers_the_wanted_answers_and_says_by_how_much(base: Path, tmp_path: Path, loss: str) -> None:
    fitted = fit(base, tmp_path, loss)

    assert fitted.examples == 12
    assert fitted.figures["reward_accuracy"] > 0.9
    assert fitted.figures["reward_margin"] > 0.05
    assert fitted.figures["reward_rows"] == (12 if loss == "dpo" else 24)


def test_held_out_pairs_are_measured_against_where_training_began(base: Path, tmp_path: Path) -> None:
    first = fit(base, tmp_path / "first", "dpo")
    unseen = [example(number, "yes", "no") for number in (21, 22, 23)]

    moved = measure_held_out(unseen, base, first.folder, SPEC)
    still = measure_held_out(unseen, base, first.folder, SPEC, start=first.folder)

    assert moved["reward_rows"] == 3
    assert moved["reward_accuracy"] == 1
    assert moved["reward_margin"] > 0.05
    assert still["reward_margin"] == pytest.approx(0, abs=1e-6)
    assert measure_held_out([example(24, "yes")], base, first.folder, SPEC) == {}


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_a_killed_run_goes_on_to_the_same_bytes(base: Path, tmp_path: Path, loss: str) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 7:
            raise Killed

    with pytest.raises(Killed):
        fit(base, tmp_path / "killed", loss, kill)
    seen: list[int] = []
    resumed = fit(base, tmp_path / "killed", loss, lambda progress: seen.append(progress.step))
    whole = fit(base, tmp_path / "whole", loss)

    assert seen[0] == 5  # the checkpoint of step 4 was the last
    name = "adapter_model.safetensors"
    assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert resumed.figures == whole.figures


def test_counts_balance_the_two_sides_when_no_weight_is_given(base: Path, tokenizer: ChatTokenizer) -> None:
    given_ = [*(example(number, "yes") for number in range(6)), example(7, "maybe", "no"), example(8, "maybe", "no")]
    spec = msgspec.structs.replace(SPEC, preference=PreferenceSpec(loss="kto"))

    objective = prepare(given_, tokenizer, load_network(base), spec).objective

    assert isinstance(objective, SideLoss)
    assert (objective.wanted, objective.unwanted) == (1.0, 4.0)  # 8 wanted answers, 2 unwanted
