import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex_cli.domain.errors import MissingExtraError, UsageError
from cortex_cli.train.engines import fit
from cortex_cli.train.fitting import fit_adapter
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.models.tiny import make_base
from tests.train.lessons import TEXTS, lessons

pytestmark = pytest.mark.model

SPEC = TrainSpec(
    agent="a",
    dataset="d",
    min_examples=4,
    lora=LoraSpec(rank=2, alpha=4.0, targets=("q_proj", "v_proj")),
    loop=LoopSpec(batch_tokens=256, window=64, epochs=1.0, threads=1),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), TEXTS)


def silent(_progress: Any) -> None:
    pass


def test_the_native_engine_is_our_own_loop(base: Path, tmp_path: Path) -> None:
    one = fit(lessons(), base, SPEC, tmp_path / "one", watch=silent)
    two = fit_adapter(lessons(), base, SPEC, tmp_path / "two", watch=silent)

    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


@pytest.mark.parametrize(("engine", "package"), [("trl", "trl"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_is_named_before_anything_is_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed

    with pytest.raises(MissingExtraError) as raised:
        fit(lessons(), base, msgspec.structs.replace(SPEC, engine=engine), tmp_path / "run", watch=silent)

    assert f"the '{engine}' extra" in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_rewarded_answers_are_only_trained_by_trl(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="grpo needs engine = 'trl'"):
        TrainSpec(agent="a", dataset="d", objective="grpo")
    with pytest.raises(UsageError, match="the engine native has no objective grpo"):
        fit(lessons(), base, _forced(), tmp_path, watch=silent)


def _forced() -> TrainSpec:
    spec = TrainSpec(agent="a", dataset="d", objective="grpo", engine="trl")
    msgspec.structs.force_setattr(spec, "engine", "native")
    return spec
