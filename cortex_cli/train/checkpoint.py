"""Checkpoints: everything a killed run needs to go on as if it had not been killed; and snapshots, for attribution."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cortex_cli.domain.errors import ConflictError, IntegrityError
from cortex_cli.models.lora import lora_state
from cortex_cli.store.atomic import fsync_folder, replacing, write_atomic

__all__ = ["Position", "restore_checkpoint", "save_checkpoint", "save_snapshot"]

_NAME = "checkpoint"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands. Steps and tokens are counted from its very start, seconds of work too.

    *plan* is the digest of rows and settings: a checkpoint of another plan is never continued. *micro* is the most
    tokens computed at once (0: a whole batch), *threads* how many compute: both decide how sums are rounded.
    """

    plan: str
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    micro: int = 0
    threads: int = 0


def save_checkpoint(
    folder: Path, position: Position, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> Path:
    """Write a checkpoint to *folder*: weights, optimiser and random state as safetensors.

    The position is written last, so a checkpoint without one was never finished and is ignored. Older ones go only
    then: a kill or a full disk at any moment leaves a whole one. Raises `CortexError` when the disk refuses.
    """
    target = folder / f"{_NAME}-{position.step:08d}"
    if (target / "position.json").is_file():
        return target
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    tensors = {f"parameter.{name}": value.detach() for name, value in parameters.items()}
    for name, value in parameters.items():
        for key, item in optimizer.state[value].items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(item).detach()
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    _save(tensors, target / "state.safetensors")
    write_atomic(target / "position.json", msgspec.json.encode(position))
    fsync_folder(folder)
    for older in sorted(folder.glob(f"{_NAME}-*")):
        if older != target:
            (older / "position.json").unlink(missing_ok=True)  # first, so that no half of it is ever taken for whole
            shutil.rmtree(older, ignore_errors=True)
    return target


def save_snapshot(folder: Path, step: int, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Keep the adapter of *network* as it is after *step*, in `snapshots/<step>`, for attribution.

    `moments.safetensors` holds the optimiser's mean squared gradients under the same names. A network without an
    adapter leaves nothing.
    """
    adapter = lora_state(network)
    if not adapter:
        return
    target = folder / "snapshots" / f"{step:08d}"
    target.mkdir(parents=True, exist_ok=True)
    _save(adapter, target / "adapter_model.safetensors")
    _save(lora_state(network, read=lambda value: optimizer.state[value]["exp_avg_sq"]), target / "moments.safetensors")


def restore_checkpoint(
    folder: Path, plan: str, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> Position:
    """Load the newest finished checkpoint in *folder* into *parameters* and *optimizer*, and its random state.

    Returns the start position if there is none. Raises `ConflictError` if it belongs to another
    plan and `IntegrityError` if it does not fit these parameters.
    """
    finished = sorted(path.parent for path in folder.glob(f"{_NAME}-*/position.json"))
    if not finished:
        return Position(plan=plan)
    position = msgspec.json.decode((finished[-1] / "position.json").read_bytes(), type=Position)
    if position.plan != plan:
        raise ConflictError(
            f"the checkpoint in '{finished[-1]}' belongs to other data or settings",
            hint="train with --fresh, which starts a new run",
            state="nothing was trained",
        )
    tensors = load_file(finished[-1] / "state.safetensors")
    _fill(tensors, parameters, optimizer, finished[-1])
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return position


def _save(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    with replacing(path) as temporary:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
        except SafetensorError as error:  # how the library tells that the disk is full
            raise OSError(str(error)) from error


def _fill(
    tensors: dict[str, torch.Tensor],
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    source: Path,
) -> None:
    for name, value in parameters.items():
        stored = tensors.get(f"parameter.{name}")
        if stored is None or stored.shape != value.shape:
            raise IntegrityError(f"checkpoint '{source.name}' does not fit at '{name}'", state="nothing was trained")
        with torch.no_grad():
            value.copy_(stored)
        keys: dict[str, Any] = {}
        for key in ("step", "exp_avg", "exp_avg_sq"):
            moved = tensors[f"optimizer.{key}.{name}"]
            keys[key] = moved.to(value.device)
        optimizer.state[value] = keys
