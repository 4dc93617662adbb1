import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.models import lora
from cortex_cli.models.lora import (
    LoraLinear,
    attach,
    load_into,
    lora_state,
    merge_adapter,
    read_adapter,
    save_adapter,
)
from cortex_cli.train.spec import LoraSpec

pytestmark = pytest.mark.model


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.second = nn.Linear(5, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))  # type: ignore[no-any-return]


def shape(targets: tuple[str, ...] = ("first", "second")) -> LoraSpec:
    return LoraSpec(rank=2, alpha=4.0, targets=targets)


def trained() -> Net:
    torch.manual_seed(0)
    net = Net()
    for parameter in attach(net, shape(), seed=0):
        nn.init.normal_(parameter)
    return net


def test_an_adapter_that_was_not_trained_changes_nothing() -> None:
    torch.manual_seed(0)
    net = Net()
    x = torch.randn(3, 6)
    before = net(x)
    attach(net, shape(), seed=0)

    assert torch.allclose(net(x), before, atol=1e-6)


def test_only_the_adapter_is_trained() -> None:
    net = trained()
    names = {name for name, value in net.named_parameters() if value.requires_grad}

    assert names == {"first.down", "first.up", "second.down", "second.up"}


@pytest.mark.parametrize("merge_below", [0, 1 << 20])
def test_both_ways_to_compute_a_layer_agree_in_value_and_gradient(
    merge_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora, "_MERGE_BELOW", merge_below)
    layer = LoraLinear(nn.Linear(6, 5), 2, 2.0, torch.Generator().manual_seed(0)).double()
    nn.init.normal_(layer.up)
    x = torch.randn(3, 6, dtype=torch.double, requires_grad=True)
    wanted = layer.base(x) + 2.0 * (x @ layer.down.T @ layer.up.T)

    assert torch.allclose(layer(x), wanted)
    assert torch.autograd.gradcheck(layer, (x,))
    ours = torch.autograd.grad(layer(x).square().sum(), [x, layer.down, layer.up])
    theirs = torch.autograd.grad(wanted.square().sum(), [x, layer.down, layer.up])
    assert all(torch.allclose(one, two) for one, two in zip(ours, theirs, strict=True))


def test_a_saved_adapter_merged_into_a_fresh_base_computes_the_same(tmp_path: Path) -> None:
    net = trained()
    save_adapter(net, tmp_path, shape())
    torch.manual_seed(0)
    fresh = Net()
    merge_adapter(fresh, tmp_path)
    x = torch.randn(3, 6)

    assert torch.allclose(fresh(x), net(x), atol=1e-5)


def test_an_adapter_of_another_shape_is_an_integrity_error(tmp_path: Path) -> None:
    save_adapter(trained(), tmp_path, shape(("first",)))
    other: Any = nn.Sequential(nn.Linear(6, 5))

    with pytest.raises(IntegrityError, match="does not fit its base at layer"):
        merge_adapter(other, tmp_path)


def test_a_target_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="no linear layer is called third"):
        attach(Net(), shape(("third",)), seed=0)


def test_the_names_of_tensors_are_those_of_peft() -> None:
    assert sorted(lora_state(trained())) == [
        "base_model.model.first.lora_A.weight",
        "base_model.model.first.lora_B.weight",
        "base_model.model.second.lora_A.weight",
        "base_model.model.second.lora_B.weight",
    ]


def test_only_lora_adapters_are_read(tmp_path: Path) -> None:
    save_adapter(trained(), tmp_path, shape(("first",)))
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace("LORA", "IA3"))

    with pytest.raises(UsageError, match="of type 'IA3', not LORA"):
        merge_adapter(Net(), tmp_path)


def test_a_rank_stabilised_adapter_has_a_larger_scale_and_says_so_in_its_file(tmp_path: Path) -> None:
    stable = LoraSpec(rank=4, alpha=8.0, targets=("first",), kind="rslora")
    net = Net()
    attach(net, stable, seed=0)
    save_adapter(net, tmp_path, stable)

    assert net.first.scale == 8.0 / 2.0
    assert read_adapter(tmp_path)[1] == 8.0 / 2.0
    assert json.loads((tmp_path / "adapter_config.json").read_text())["use_rslora"] is True


def test_going_on_from_an_adapter_begins_where_it_ended(tmp_path: Path) -> None:
    net = trained()
    save_adapter(net, tmp_path, shape())
    again = Net()
    attach(again, shape(), seed=7)
    load_into(again, tmp_path)

    assert all(torch.equal(value, lora_state(net)[name]) for name, value in lora_state(again).items())


@pytest.mark.parametrize(
    "other",
    [
        LoraSpec(rank=3, alpha=6.0, targets=("first", "second")),
        LoraSpec(rank=2, alpha=8.0, targets=("first", "second")),
        LoraSpec(rank=2, alpha=4.0, targets=("first",)),
    ],
)
def test_going_on_from_an_adapter_of_another_shape_is_refused(tmp_path: Path, other: LoraSpec) -> None:
    save_adapter(trained(), tmp_path, shape())
    net = Net()
    attach(net, other, seed=0)

    with pytest.raises(UsageError, match=r"another shape than \[train.lora\]"):
        load_into(net, tmp_path)


@pytest.mark.parametrize("setting", [{"rank_pattern": {"first": 4}}, {"bias": "all"}, {"modules_to_save": ["second"]}])
def test_what_is_not_read_of_peft_is_refused_rather_than_left_out(tmp_path: Path, setting: dict[str, object]) -> None:
    save_adapter(trained(), tmp_path, shape())
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **setting}))

    with pytest.raises(UsageError, match="of peft, which is not read here"):
        merge_adapter(Net(), tmp_path)
