"""How much an adapter changes its base: the norm of its update beside that of the weights, without loading the network."""

import math
from pathlib import Path
from typing import NamedTuple

import torch

from cortex_cli.domain.errors import IntegrityError
from cortex_cli.models.lora import read_adapter

__all__ = ["Delta", "measure_delta"]


class Delta(NamedTuple):
    """*relative* is |update| / |weights| over the adapted layers, *still* the layers that are not changed at all."""

    relative: float
    layers: int
    still: int
    finite: bool


def measure_delta(base: Path, adapter: Path) -> Delta:
    """Measure the low-rank update of the folder *adapter* against the weights in the folder *base*.

    |s B A|^2 is the sum of (B^T B) * (A A^T) times s^2, rank x rank, so no update is ever multiplied out. Raises
    `IntegrityError` for an adapter that names a layer which the base does not have, or has in another shape.
    """
    from safetensors import safe_open

    state, scale = read_adapter(adapter)
    updates, weights = 0.0, 0.0
    layers = still = 0
    with safe_open(base / "model.safetensors", framework="pt") as file:
        known = set(file.keys())
        for key, down in state.items():
            if not key.endswith(".lora_A.weight"):
                continue
            name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight") + ".weight"
            up = state[key.replace(".lora_A.", ".lora_B.")]
            if name not in known or tuple(file.get_slice(name).get_shape()) != (up.shape[0], down.shape[1]):
                raise IntegrityError(f"adapter '{adapter.name}' does not fit its base at layer '{name}'")
            square = _square(scale, up.double(), down.double())
            updates += square
            weights += float(file.get_tensor(name).double().square().sum())
            layers, still = layers + 1, still + (square == 0)
    relative = math.sqrt(updates / weights) if weights > 0 and updates >= 0 else math.nan
    return Delta(relative, layers, still, math.isfinite(relative))


def _square(scale: float, up: torch.Tensor, down: torch.Tensor) -> float:
    # Rounding can leave a zero update a little below zero.
    return max(0.0, float(scale**2 * ((up.T @ up) * (down @ down.T)).sum()))
