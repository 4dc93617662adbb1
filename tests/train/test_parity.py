"""The loop against a plain one: padded rows, a mask, all logits, one backward pass. In float32 throughout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch.nn import functional

from cortex_cli.models.lora import attach
from cortex_cli.train.batches import Row, plan_epoch
from cortex_cli.train.language import LanguageLoss, lay_out
from cortex_cli.train.loop import Progress, run_loop
from cortex_cli.train.spec import LoopSpec, LoraSpec
from tests.train.tiny_rows import network, some_rows

pytestmark = pytest.mark.model

SPEC = LoopSpec(
    learning_rate=1e-2, batch_tokens=64, epochs=2.0, warmup=0.0, hold=1.0, window=16, dtype="float32", threads=1, keep=0
)
WAYS: dict[str, dict[str, Any]] = {
    "buckets": {},
    "packed": {"plan": "packed"},
    "accumulated": {"micro_tokens": 20},
    "packed and accumulated": {"plan": "packed", "micro_tokens": 20},
    "chunked": {"chunk": 3},
    "checkpointed": {"checkpointing": True},
    "packed and checkpointed": {"plan": "packed", "checkpointing": True},
}


def adapted() -> Any:
    model = network()
    attach(model, LoraSpec(rank=2, alpha=4.0), seed=0)
    for name, value in model.named_parameters():
        if name.endswith("up"):  # at zero, nothing would flow to the other half
            torch.nn.init.normal_(value, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return model


def plain_loss(model: Any, rows: Sequence[Row]) -> torch.Tensor:
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([[*row.ids, *[0] * (longest - len(row.ids))] for row in rows])
    mask = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows])
    labels = torch.full_like(ids, -100)
    for number, row in enumerate(rows):
        for start, end in row.learned:
            labels[number, start:end] = ids[number, start:end]
    model.set_attn_implementation("eager")
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def plain_run(model: Any, spec: LoopSpec) -> list[float]:
    """Train as the loop promises to, in the simplest way there is."""
    rows, told = some_rows(), []
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=spec.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    for epoch in range(2):
        for batch in plan_epoch(rows, spec.batch_tokens, spec.seed + epoch, spec.plan):
            loss = plain_loss(model, [rows[index] for index in batch])
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, spec.clip)
            optimizer.step()
            optimizer.zero_grad()
            told.append(loss.item())
    return told


@pytest.mark.parametrize("whole", [False, True], ids=["adapter", "whole model"])
@pytest.mark.parametrize("way", WAYS)
def test_every_step_has_the_loss_of_a_plain_padded_loop(way: str, whole: bool, tmp_path: Path) -> None:
    spec = msgspec.structs.replace(SPEC, **WAYS[way])
    ours, theirs = (network(), network()) if whole else (adapted(), adapted())
    seen: list[Progress] = []
    run_loop(LanguageLoss(ours, 0, spec), some_rows(), spec, tmp_path, watch=seen.append)
    told = plain_run(theirs, spec)

    assert [progress.loss for progress in seen] == pytest.approx(told, abs=1e-4)
    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-4), name


@pytest.mark.parametrize("whole", [False, True], ids=["adapter", "whole model"])
@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_a_plain_padded_loop(way: str, whole: bool) -> None:
    spec = msgspec.structs.replace(SPEC, **WAYS[way])
    ours, theirs = (network(), network()) if whole else (adapted(), adapted())
    rows = some_rows()
    objective = LanguageLoss(ours, 0, spec)
    (objective.loss(rows) / sum(objective.weigh(row) for row in rows)).backward()  # type: ignore[no-untyped-call]
    plain_loss(theirs, rows).backward()  # type: ignore[no-untyped-call]

    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        assert one.grad is None or torch.allclose(one.grad, two.grad, atol=1e-4 * max(1.0, two.grad.abs().max())), name


def test_a_packed_row_sees_nothing_of_the_row_before_it() -> None:
    model = network()
    objective = LanguageLoss(model, 0, msgspec.structs.replace(SPEC, plan="packed"))
    second = Row((9, 8, 7, 6, 5), ((1, 5),), "b")
    alone = objective.token_losses([second])

    for ids in [(1, 2, 3, 4), (30, 29, 28, 27), (11,) * 11]:
        first = Row(ids, ((1, len(ids)),), "a")
        assert torch.equal(objective.token_losses([first, second])[-4:], objective.token_losses([first, second])[-4:])
        assert torch.allclose(objective.token_losses([first, second])[-4:], alone, atol=1e-6)


def test_a_perturbed_row_moves_no_logit_of_the_next_one() -> None:
    objective = LanguageLoss(network(), 0, msgspec.structs.replace(SPEC, plan="packed"))
    second = Row((9, 8, 7, 6, 5), ((1, 5),), "b")
    device = torch.device("cpu")
    one, two = (
        objective.logits(lay_out([Row(ids, (), "a"), second], 0, device, "packed")) for ids in ((1, 2, 3), (4, 5, 6))
    )

    assert torch.equal(one, two)


def test_padding_does_not_change_the_loss_of_a_row() -> None:
    objective = LanguageLoss(network(), 0, SPEC)
    short, long = Row((1, 2, 3), ((1, 3),), "a"), Row(tuple(range(1, 12)), ((5, 7), (9, 11)), "b")

    apart = torch.cat([objective.token_losses([short]), objective.token_losses([long])])
    assert torch.allclose(objective.token_losses([short, long]), apart, atol=1e-6)


def test_only_what_is_learned_has_a_loss_in_the_order_of_rows() -> None:
    objective = LanguageLoss(network(), 0, SPEC)
    row = Row(tuple(range(1, 12)), ((5, 7), (9, 11)), "b")
    logits = objective.network(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
    wanted = [-logits[place - 1, row.ids[place]].item() for place in (5, 6, 9, 10)]

    assert objective.token_losses([row]).tolist() == pytest.approx(wanted, abs=1e-5)
    assert objective.weigh(row) == 4


@pytest.mark.parametrize("plan", ["buckets", "packed"])
def test_a_window_of_attention_is_kept(plan: str) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 3}
    model = MistralForCausalLM(MistralConfig(**sizes, **heads, attn_implementation="eager")).eval()
    rows = [Row(tuple(range(1, 12)), ((1, 11),), "a"), Row((3, 4, 5, 6, 7), ((1, 5),), "b")]
    wanted = plain_loss(model, rows).item()
    objective = LanguageLoss(model, 0, msgspec.structs.replace(SPEC, plan=plan))

    assert objective.loss(rows).item() / 14 == pytest.approx(wanted, abs=1e-5)


def test_logits_that_are_scaled_after_the_output_layer_are_trained_so() -> None:
    from transformers import CohereConfig, CohereForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "pad_token_id": 0}
    model = CohereForCausalLM(
        CohereConfig(**sizes, num_attention_heads=2, logit_scale=3.0, attn_implementation="eager")
    )
    row = Row(tuple(range(1, 12)), ((1, 11),), "a")
    wanted = plain_loss(model.eval(), [row]).item()

    assert LanguageLoss(model, 0, SPEC).loss([row]).item() / 10 == pytest.approx(wanted, abs=1e-5)
