import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from cortex_cli.domain.errors import ConflictError, CortexError, UsageError
from cortex_cli.train.checkpoint import Position, restore_checkpoint, save_checkpoint
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Progress, run_loop
from cortex_cli.train.spec import LoopSpec
from tests.train.tiny_rows import network, some_rows

pytestmark = pytest.mark.model

SPEC = LoopSpec(learning_rate=1e-2, batch_tokens=64, epochs=4.0, window=16, checkpoint_every=3, threads=1)


class Killed(BaseException):
    """Stands for a signal that arrives between two steps."""


def silent(_progress: Progress) -> None:
    pass


def train(folder: Path, spec: LoopSpec = SPEC, watch: Any = silent) -> tuple[Any, Any]:
    folder.mkdir(exist_ok=True)
    model = LanguageLoss(network(), 0, SPEC)
    return run_loop(model, some_rows(), spec, folder, watch=watch), model


def test_training_lowers_the_loss_and_counts_useful_tokens(tmp_path: Path) -> None:
    seen: list[Progress] = []
    result, _ = train(tmp_path, watch=seen.append)

    assert result.loss < seen[0].loss
    assert result.tokens == 4 * sum(len(row.ids) for row in some_rows())
    assert result.steps == seen[-1].step == seen[-1].steps
    assert not result.stopped_early


def test_metrics_and_example_ids_of_every_step_are_kept(tmp_path: Path) -> None:
    result, _ = train(tmp_path)
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]

    assert [line["step"] for line in metrics] == list(range(1, result.steps + 1))
    assert sorted(name for _, names in steps for name in names) == sorted(4 * [row.example for row in some_rows()])


def test_a_run_killed_between_steps_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 8:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "b", watch=kill)
    seen: list[Progress] = []
    again, resumed = train(tmp_path / "b", watch=seen.append)
    whole, straight = train(tmp_path / "a")

    assert seen[0].step == 7  # the checkpoint of step 6 was the last
    for name in ("metrics.jsonl", "steps.jsonl"):
        lines = [json.loads(line) for line in (tmp_path / "b" / name).read_text().splitlines()]
        told = [line["step"] if name == "metrics.jsonl" else line[0] for line in lines]
        assert told == list(range(1, again.steps + 1))
    assert again.tokens == whole.tokens
    for one, two in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_checkpoint_without_a_position_was_never_finished_and_is_ignored(tmp_path: Path) -> None:
    model = network()
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(parameters.values())
    model(input_ids=torch.tensor([[1, 2]])).logits.sum().backward()
    optimizer.step()
    target = save_checkpoint(tmp_path, Position(plan="p", step=3), parameters, optimizer)
    (target / "position.json").unlink()

    assert restore_checkpoint(tmp_path, "p", parameters, optimizer).step == 0


def test_a_checkpoint_of_other_settings_is_not_continued(tmp_path: Path) -> None:
    train(tmp_path)

    with pytest.raises(ConflictError, match="other data or settings"):
        train(tmp_path, msgspec.structs.replace(SPEC, seed=1))


def test_a_loss_that_is_not_a_number_stops_with_the_examples_that_caused_it(tmp_path: Path) -> None:
    model = LanguageLoss(network(), 0, SPEC)
    with torch.no_grad():
        model.network.model.norm.weight.fill_(math.inf)

    with pytest.raises(CortexError, match="loss of step 1 is not a number; its examples: x"):
        run_loop(model, some_rows(), SPEC, tmp_path, watch=silent)


def test_a_run_out_of_time_ends_early_and_says_so(tmp_path: Path) -> None:
    result, _ = train(tmp_path, msgspec.structs.replace(SPEC, max_seconds=1e-6))

    assert result.stopped_early
    # The clock may not have moved before the first step; after it, it has.
    assert result.steps <= 1


def test_a_part_of_an_epoch_takes_a_part_of_its_batches(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    whole, _ = train(tmp_path / "one", msgspec.structs.replace(SPEC, epochs=1.0))
    half, _ = train(tmp_path / "half", msgspec.structs.replace(SPEC, epochs=0.5))

    assert half.steps == round(whole.steps / 2)


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to train on"):
        run_loop(LanguageLoss(network(), 0, SPEC), [], SPEC, tmp_path, watch=silent)


def test_the_learning_rate_rises_holds_and_falls(tmp_path: Path) -> None:
    seen: list[Progress] = []
    spec = msgspec.structs.replace(SPEC, epochs=20.0, warmup=0.2, hold=0.4, floor=0.1)
    train(tmp_path, spec, seen.append)
    rates = [progress.learning_rate for progress in seen]
    top = max(rates)

    assert top == SPEC.learning_rate
    assert rates[: rates.index(top)] == sorted(rates[: rates.index(top)])
    assert rates[-1] < 0.2 * top
    assert 0.35 < rates.count(top) / len(rates) < 0.45
