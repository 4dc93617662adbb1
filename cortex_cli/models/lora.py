"""Low-rank adapters: attach, train, save and load in the file format of peft.

Methods: LoRA, Hu et al. 2021, arXiv:2106.09685: W' = W + s B A with W frozen and s = alpha / r; rank-stabilised,
Kalajdzievski 2023, arXiv:2312.03732: s = alpha / sqrt(r); DoRA, Liu et al. 2024, arXiv:2402.09353:
W' = m (W + s B A) / |W + s B A|, row by row, with m trained too.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from cortex_cli.domain.errors import IntegrityError, UsageError

__all__ = ["LoraLinear", "Shape", "attach", "load_into", "lora_state", "merge_adapter", "read_adapter", "save_adapter"]

# Below this many weights in a layer, computing W' once per step beats two small products per token by 5 to 15 %
# of a step of the layer. Above it a copy of every weight would cost more memory than it saves time.
_MERGE_BELOW = 1 << 20
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."


class Shape(Protocol):
    """The shape of an adapter, as a recipe's `[train.lora]` table gives it."""

    @property
    def rank(self) -> int:
        """Return the rank of the update."""
        ...

    @property
    def alpha(self) -> float:
        """Return the numerator of its scale."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the names of the linear layers it changes."""
        ...

    @property
    def kind(self) -> str:
        """Return "lora", "rslora" or "dora"."""
        ...


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained low-rank update.

    Shapes: base weight (out, in), *down* (rank, in), *up* (out, rank); *scale* is that of the update.
    *up* starts at zero, so that the first step sees the base unchanged.
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = scale
        bound = base.in_features**-0.5  # Kaiming uniform with a = sqrt(5), as peft initialises A
        down = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        place = base.weight.device
        self.down = nn.Parameter(down.to(place))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=place))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer with its update; x is (..., in), the result (..., out)."""
        weight = self.base.weight
        if type(self.base) is not nn.Linear:  # a layer of 4 bits has its own product
            update = functional.linear(functional.linear(x, self.down.to(x.dtype)), self.up.to(x.dtype))
            return self.base(x) + self.scale * update  # type: ignore[no-any-return]
        product = _Merged if weight.numel() < _MERGE_BELOW else _Beside
        y: torch.Tensor = product.apply(x, weight, self.down, self.up, self.scale)  # type: ignore[no-untyped-call]
        return y if self.base.bias is None else y + self.base.bias


class _Merged(torch.autograd.Function):
    """x W'^T with W' = W + s B A computed once; the gradients of A and B without that of W', which is as large as W.

    Backward by hand, in half the time that autograd takes: dx = g W', dA = s (g B)^T x, dB = s g^T (x A^T).
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        low, high = down.to(weight.dtype), up.to(weight.dtype)
        whole = torch.addmm(weight, high, low, alpha=scale)  # (out, in)
        ctx.save_for_backward(x, whole, low, high)
        ctx.scale = scale
        return functional.linear(x, whole)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, whole, low, high = ctx.saved_tensors
        g, flat = grads[0].flatten(0, -2), x.flatten(0, -2)  # (tokens, out), (tokens, in)
        to_down = ((g @ high).T @ flat).float().mul_(ctx.scale)
        to_up = (g.T @ (flat @ low.T)).float().mul_(ctx.scale)
        return (g @ whole).view_as(x) if ctx.needs_input_grad[0] else None, None, to_down, to_up, None


class _Beside(torch.autograd.Function):
    """x W^T + s (x A^T) B^T, without a second weight in memory; what the update adds is added in place."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        low, high = down.to(weight.dtype), (scale * up).to(weight.dtype)
        narrow = x.flatten(0, -2) @ low.T  # (tokens, rank)
        y = functional.linear(x, weight)
        y.view(-1, y.shape[-1]).addmm_(narrow, high.T)
        ctx.save_for_backward(x, narrow, weight, low, high)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, narrow, weight, low, high = ctx.saved_tensors
        g = grads[0].flatten(0, -2)
        inner = g @ high  # (tokens, rank), the scale in it
        to_down = (inner.T @ x.flatten(0, -2)).float()
        to_up = (g.T @ narrow).float().mul_(ctx.scale)
        to_x = (g @ weight).addmm_(inner, low).view_as(x) if ctx.needs_input_grad[0] else None
        return to_x, None, to_down, to_up, None


def attach(network: nn.Module, shape: Shape, *, seed: int) -> list[nn.Parameter]:
    """Replace the linear layers that *shape* targets in *network* by adapted ones; return what is trained.

    Raises `UsageError` if no layer has one of these names.
    """
    found = {name for _, name, _ in _named_linears(network)}
    if not found.intersection(shape.targets):
        raise UsageError(
            f"no linear layer is called {' or '.join(shape.targets)}; there are {', '.join(sorted(found))}",
            hint="name some of these in [train.lora] targets",
            state="nothing was trained",
        )
    network.requires_grad_(False)
    if shape.kind == "dora":
        _inject_dora(network, shape, seed)
    else:
        _replace_linears(network, shape, torch.Generator().manual_seed(seed))
    return [value for value in network.parameters() if value.requires_grad]


def lora_state(
    network: nn.Module, read: Callable[[nn.Parameter], torch.Tensor] = torch.Tensor.detach
) -> dict[str, torch.Tensor]:
    """Return what *read* makes of the adapter's parameters, under the names that peft gives them; empty without one."""
    state: dict[str, torch.Tensor] = {}
    for name, value in network.named_parameters():
        if told := _peft_name(name):
            state[told] = read(value).contiguous()
    return state


def save_adapter(network: nn.Module, folder: Path, shape: Shape) -> None:
    """Write the adapter of *network* to *folder* as peft would; nothing is left if it fails early."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(lora_state(network), folder / _WEIGHTS)
    config = {
        "base_model_name_or_path": None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": shape.alpha,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": shape.rank,
        "target_modules": sorted(shape.targets),
        "task_type": "CAUSAL_LM",
        "use_dora": shape.kind == "dora",
        "use_rslora": shape.kind == "rslora",
    }
    (folder / _CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_into(network: nn.Module, folder: Path) -> None:
    """Copy the adapter in *folder* into the one attached to *network*, to go on from it.

    Raises `UsageError` if the two have not the same layers, rank and scale.
    """
    state, scale = read_adapter(folder)
    own = {_peft_name(name): value for name, value in network.named_parameters() if _peft_name(name)}
    other = [
        name for name in {*own, *state} if name not in own or name not in state or own[name].shape != state[name].shape
    ]
    scales = {module.scale for module in network.modules() if isinstance(module, LoraLinear)}
    if other or scales - {scale}:
        raise UsageError(
            f"adapter '{folder.name}' has another shape than [train.lora]: rank, alpha, kind or targets differ",
            hint="set them as the earlier adapter had them, or leave out start",
            state="nothing was trained",
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])


def read_adapter(folder: Path) -> tuple[dict[str, torch.Tensor], float]:
    """Return the adapter's tensors in *folder* and the scale of its update."""
    from safetensors.torch import load_file

    config: dict[str, Any] = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise UsageError(f"adapter '{folder.name}' is of type {config.get('peft_type')!r}, not LORA")
    other = [key for key in ("rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out") if config.get(key)]
    if other or config.get("bias", "none") != "none":
        raise UsageError(f"adapter '{folder.name}' uses {', '.join(other) or 'bias'} of peft, which is not read here")
    rank = int(config["r"])
    return load_file(folder / _WEIGHTS), _scale(
        float(config["lora_alpha"]), rank, stable=bool(config.get("use_rslora"))
    )


def merge_adapter(network: nn.Module, folder: Path) -> None:
    """Add the adapter in *folder* to the weights of *network*, in place.

    Raises `IntegrityError` if the adapter names a layer that the base does not have.
    """
    state, scale = read_adapter(folder)
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    for key, down in state.items():
        if not key.endswith(".lora_A.weight"):
            continue
        name = key.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
        up = state[key.replace(".lora_A.", ".lora_B.")]
        layer = layers.get(name)
        if layer is None or layer.weight.shape != (up.shape[0], down.shape[1]):
            raise IntegrityError(f"adapter '{folder.name}' does not fit its base at layer '{name}'")
        with torch.no_grad():
            whole = layer.weight.float() + scale * up.float() @ down.float()
            magnitude = state.get(f"{_PREFIX}{name}.lora_magnitude_vector")
            if magnitude is not None:
                whole *= (magnitude.float() / whole.norm(dim=1))[:, None]  # (out, in)
            layer.weight.copy_(whole)


def _scale(alpha: float, rank: int, *, stable: bool) -> float:
    return alpha / math.sqrt(rank) if stable else alpha / rank


def _replace_linears(network: nn.Module, shape: Shape, generator: torch.Generator) -> None:
    scale = _scale(shape.alpha, shape.rank, stable=shape.kind == "rslora")
    for parent, name, layer in list(_named_linears(network)):
        if name in shape.targets:
            setattr(parent, name, LoraLinear(layer, shape.rank, scale, generator))


def _inject_dora(network: nn.Module, shape: Shape, seed: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=shape.rank, lora_alpha=shape.alpha, target_modules=list(shape.targets), use_dora=True, lora_dropout=0.0
    )
    inject_adapter_in_model(config, network)
    for name, value in network.named_parameters():
        if _peft_name(name):  # trained in float32 over a base of any dtype
            value.data = value.data.float()


def _peft_name(name: str) -> str:
    """Return the name in peft's files of the parameter *name*, ours or injected by peft; '' if it is no adapter's."""
    layer, _, own = name.rpartition(".")
    if own in {"down", "up"}:
        return f"{_PREFIX}{layer}.lora_{'A' if own == 'down' else 'B'}.weight"
    if ".lora_magnitude_vector." in name:
        return _PREFIX + name.partition(".default")[0]
    return _PREFIX + name.replace(".default.", ".") if ".lora_" in name else ""


def _named_linears(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                yield parent, name, child
