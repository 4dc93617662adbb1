"""peft is the judge of the file format: what it makes of an adapter is what ours must make of it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.bases import load_network
from cortex_cli.models.lora import attach, load_into, lora_state, merge_adapter, save_adapter
from cortex_cli.models.merging import export_merged
from cortex_cli.train.spec import LoraSpec
from tests.models.tiny import make_base

# peft asks transformers for an attribute that is on its way out; neither is ours.
pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
LINE = torch.tensor([[7, 8, 9, 10, 11]])
KINDS = [LoraSpec(rank=4, alpha=8.0, targets=("q_proj", "down_proj"), kind=kind) for kind in ("lora", "rslora", "dora")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), ["wake me at seven", "play some music"])


def trained(base: Path, shape: LoraSpec) -> Any:
    network = load_network(base)
    torch.manual_seed(1)
    for parameter in attach(network, shape, seed=0):
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("shape", KINDS, ids=lambda shape: shape.kind)
@torch.no_grad()
def test_merged_weights_are_those_that_peft_merges(base: Path, shape: LoraSpec, tmp_path: Path) -> None:
    from peft import PeftModel

    network = trained(base, shape)
    save_adapter(network, tmp_path, shape)
    ours = load_network(base)
    merge_adapter(ours, tmp_path)
    theirs = PeftModel.from_pretrained(load_network(base), tmp_path).merge_and_unload()

    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6), name
    assert torch.allclose(ours(LINE).logits, network(LINE).logits, atol=1e-4)


@pytest.mark.parametrize("shape", KINDS, ids=lambda shape: shape.kind)
@torch.no_grad()
def test_what_is_trained_is_all_that_is_saved_and_goes_on(base: Path, shape: LoraSpec, tmp_path: Path) -> None:
    network = trained(base, shape)
    save_adapter(network, tmp_path, shape)
    again = load_network(base)
    parameters = attach(again, shape, seed=5)
    load_into(again, tmp_path)

    assert len(lora_state(again)) == len(parameters) == (3 if shape.kind == "dora" else 2) * 2 * 2
    assert torch.equal(again(LINE).logits, network(LINE).logits)


@torch.no_grad()
def test_an_exported_model_needs_no_adapter(base: Path, tmp_path: Path) -> None:
    network = trained(base, KINDS[2])
    save_adapter(network, tmp_path / "adapter", KINDS[2])
    folder = export_merged(base, tmp_path / "adapter", tmp_path / "merged")

    assert torch.allclose(load_network(folder)(LINE).logits, network(LINE).logits, atol=1e-4)
    assert (folder / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        export_merged(base, tmp_path / "adapter", folder)


def test_an_adapter_that_does_not_fit_leaves_no_export(base: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        export_merged(base, tmp_path / "nothing", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU 4 bits are not refused")
def test_four_bits_are_refused_on_a_cpu_with_what_to_do_instead(base: Path) -> None:
    with pytest.raises(UsageError, match="4 bits need a GPU") as caught:
        load_network(base, bits=4)

    assert caught.value.hint == "train with bits = 16 in [train.lora], or a smaller base"


def test_a_quantised_base_is_refused(base: Path, tmp_path: Path) -> None:
    text = (base / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace("{", '{"quantization_config": {"quant_method": "gptq"},', 1))

    with pytest.raises(UsageError, match=r"are quantised \(gptq\)"):
        load_network(tmp_path)
