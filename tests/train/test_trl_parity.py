import json
from pathlib import Path

import pytest
from torch import nn

from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Progress, run_loop
from cortex_cli.train.spec import LoopSpec
from tests.train.tiny_rows import equal_rows, network

pytestmark = pytest.mark.model

# Made by scripts/fixtures/trl_sft.py.
ORACLE = json.loads((Path(__file__).parent / "fixtures" / "trl_sft.json").read_text())
SPEC = LoopSpec(
    learning_rate=1e-2,
    batch_tokens=96,
    epochs=2.0,
    warmup=0.0,
    hold=1.0,
    window=12,
    dtype="float32",
    threads=1,
)


@pytest.mark.parametrize("micro_tokens", [0, 36])
def test_the_losses_of_every_step_are_those_of_trl_in_one_piece_and_in_parts(tmp_path: Path, micro_tokens: int) -> None:
    seen: list[Progress] = []
    spec = LoopSpec(**{name: getattr(SPEC, name) for name in SPEC.__struct_fields__} | {"micro_tokens": micro_tokens})
    run_loop(LanguageLoss(network(), 0, spec), equal_rows(12), spec, tmp_path, watch=seen.append)

    assert [progress.loss for progress in seen] == pytest.approx([step["loss"] for step in ORACLE["steps"]], abs=1e-4)


def test_the_gradient_of_the_first_step_is_that_of_trl() -> None:
    from cortex_cli.train.batches import plan_epoch

    rows, model = equal_rows(12), LanguageLoss(network(), 0, SPEC)
    batch = [rows[index] for index in plan_epoch(rows, 96, 0)[0]]
    (model.loss(batch) / sum(model.weigh(row) for row in batch)).backward()  # type: ignore[no-untyped-call]

    norm = nn.utils.clip_grad_norm_(model.network.parameters(), float("inf"))
    assert float(norm) == pytest.approx(ORACLE["steps"][0]["gradient"], abs=1e-4)
