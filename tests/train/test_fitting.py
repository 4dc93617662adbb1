from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.train.diary import Progress
from cortex_cli.train.fitting import Fitted, fit_adapter
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.models.tiny import make_base

pytestmark = pytest.mark.model

TEXTS = ["wake me at seven", "play some music", "what do i have"]
SPEC = TrainSpec(
    agent="a",
    dataset="d",
    min_examples=3,
    lora=LoraSpec(rank=2, alpha=4.0, targets=("q_proj", "v_proj")),
    loop=LoopSpec(learning_rate=1e-2, batch_tokens=64, epochs=2.0, window=48, threads=1),
)


def silent(_progress: Progress) -> None:
    pass


def examples(count: int = 6) -> list[Example]:
    return [
        Example(
            id=f"x-{number}",
            agent="a",
            messages=(Message("user", TEXTS[number % 3]),),
            answer=f"ok {number}",
            source="demonstration",
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), TEXTS)


def fit(base: Path, run: Path, spec: TrainSpec = SPEC, start: Path | None = None) -> Fitted:
    return fit_adapter(examples(), base, spec, run, watch=silent, start=start)


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_every_kind_of_adapter_is_trained_in_either_dtype(base: Path, tmp_path: Path, kind: str, dtype: str) -> None:
    loop, lora = msgspec.structs.replace(SPEC.loop, dtype=dtype), msgspec.structs.replace(SPEC.lora, kind=kind)
    fitted = fit(base, tmp_path, msgspec.structs.replace(SPEC, lora=lora, loop=loop))
    state = load_file(fitted.folder / "adapter_model.safetensors")

    assert fitted.result.steps > 0
    assert all(bool(value.any()) for name, value in state.items() if "lora_B" in name)
    assert all(value.dtype == torch.float32 for value in state.values())
    assert any("magnitude" in name for name in state) == (kind == "dora")


def test_going_on_from_an_adapter_begins_with_what_it_learned(base: Path, tmp_path: Path) -> None:
    first = fit(base, tmp_path / "a")
    still = msgspec.structs.replace(SPEC, loop=msgspec.structs.replace(SPEC.loop, learning_rate=1e-12, seed=5))
    second = fit(base, tmp_path / "b", still, first.folder)
    one, two = (load_file(fitted.folder / "adapter_model.safetensors") for fitted in (first, second))

    assert all(torch.allclose(value, two[name], atol=1e-6) for name, value in one.items())


def test_pairs_are_not_learned_twice(base: Path, tmp_path: Path) -> None:
    pairs = [msgspec.structs.replace(example, source="pair", rejected="no") for example in examples()]
    fitted = fit_adapter([*examples(), *pairs], base, SPEC, tmp_path, watch=silent)

    assert fitted.examples == 6


def test_nothing_that_the_objective_can_learn_is_refused(base: Path, tmp_path: Path) -> None:
    pairs = [msgspec.structs.replace(example, source="pair", rejected="no") for example in examples()]

    with pytest.raises(UsageError, match="none of 6 examples can be learned by the objective sft"):
        fit_adapter(pairs, base, SPEC, tmp_path, watch=silent)
    assert not (tmp_path / "adapter").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU 4 bits are not refused")
def test_four_bits_on_a_cpu_are_refused_before_anything_is_trained(base: Path, tmp_path: Path) -> None:
    spec = msgspec.structs.replace(SPEC, lora=msgspec.structs.replace(SPEC.lora, bits=4))

    with pytest.raises(UsageError, match="4 bits need a GPU"):
        fit(base, tmp_path, spec)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_no_layer_has_is_refused_with_those_that_there_are(base: Path, tmp_path: Path) -> None:
    spec = msgspec.structs.replace(SPEC, lora=msgspec.structs.replace(SPEC.lora, targets=("c_attn",)))

    with pytest.raises(UsageError, match="no linear layer is called c_attn; there are down_proj, gate_proj"):
        fit(base, tmp_path, spec)
