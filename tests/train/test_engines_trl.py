import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.models.generation import load_model
from cortex_cli.models.lora import read_adapter
from cortex_cli.train.engines import fit
from cortex_cli.train.fitting import Fitted
from cortex_cli.train.loop import Progress
from cortex_cli.train.objectives import GrpoSpec, PreferenceSpec
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from cortex_cli.train.trl_engine import fit_rewarded
from tests.models.tiny import make_base
from tests.train.lessons import TEXTS, lessons

pytest.importorskip("trl", reason="needs the trl extra")
# TRL and what it imports warn of their own future.
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore")]

SPEC = TrainSpec(
    agent="a",
    dataset="d",
    engine="trl",
    min_examples=4,
    lora=LoraSpec(rank=2, alpha=4.0, targets=("q_proj", "v_proj")),
    loop=LoopSpec(batch_tokens=256, window=64, epochs=3.0, dtype="float32", threads=1),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), TEXTS)


def silent(_progress: Progress) -> None:
    pass


def check(fitted: Fitted, base: Path) -> None:
    """The adapter is one that we read, and it changes what the base says."""
    assert sorted(path.name for path in fitted.folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((fitted.folder / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    assert any(tensor.abs().max() > 0 for name, tensor in read_adapter(fitted.folder)[0].items() if "lora_B" in name)
    assert load_model(base, fitted.folder, max_tokens=4)([lessons()[0].messages])[0].finish in {"stop", "length"}


def test_supervised_fine_tuning_gives_the_same_kind_of_adapter_and_metrics(base: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    fitted = fit(lessons(), base, SPEC, tmp_path, watch=seen.append)

    check(fitted, base)
    assert fitted.examples == len(lessons())
    assert fitted.result.steps == seen[-1].step == seen[-1].steps
    assert seen[-1].loss < seen[0].loss
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == len(seen)
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "1"


def test_training_goes_on_from_an_earlier_adapter(base: Path, tmp_path: Path) -> None:
    first = fit(lessons(), base, SPEC, tmp_path / "one", watch=silent)
    seen: list[Progress] = []
    second = fit(lessons(), base, SPEC, tmp_path / "two", watch=seen.append, start=first.folder)

    check(second, base)
    assert seen[0].loss == pytest.approx(first.result.loss, rel=0.25)


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_preferences_are_learned_from_pairs(base: Path, tmp_path: Path, loss: Any) -> None:
    spec = msgspec.structs.replace(SPEC, objective="preference", preference=PreferenceSpec(loss=loss))
    seen: list[Progress] = []
    fitted = fit(lessons(), base, spec, tmp_path, watch=seen.append)

    check(fitted, base)
    assert fitted.examples == len(lessons()) * (2 if loss == "kto" else 1)
    assert seen[-1].loss < seen[0].loss


def test_answers_of_the_model_are_rewarded_by_the_judge(base: Path, tmp_path: Path) -> None:
    judged: list[tuple[str, str]] = []

    def reward(example: Example, answer: str) -> float:
        judged.append((example.id, answer))
        return float(len(answer) % 5)

    spec = msgspec.structs.replace(
        SPEC,
        objective="grpo",
        grpo=GrpoSpec(group=2, max_tokens=4),
        loop=msgspec.structs.replace(SPEC.loop, epochs=1.0),
    )
    fitted = fit_rewarded(lessons(1), base, spec, tmp_path, reward=reward, watch=silent)

    check(fitted, base)
    assert {name for name, _ in judged} == {example.id for example in lessons(1)}


@pytest.mark.parametrize(
    ("change", "named"), [({"objective": "mntp"}, "mntp"), ({"lora": LoraSpec(bits=4)}, r"lora\.bits = 4")]
)
def test_what_it_cannot_train_is_refused(base: Path, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=f"{named} cannot be trained with the engine trl"):
        fit(lessons(), base, msgspec.structs.replace(SPEC, **change), tmp_path, watch=silent)
