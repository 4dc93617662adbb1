"""Checkpoints: everything a killed run needs to go on as if it had not been killed."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cortex_cli.domain.errors import ConflictError, IntegrityError
from cortex_cli.store.atomic import fsync_folder, write_atomic

__all__ = ["Position", "restore_checkpoint", "save_checkpoint"]

_NAME = "checkpoint"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands. Steps and tokens are counted from its very start, seconds of work too.

    *plan* is the digest of rows and settings: a checkpoint of another plan is never continued.
    """

    plan: str
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0


def save_checkpoint(
    folder: Path, position: Position, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> Path:
    """Write a checkpoint to *folder*, weights and optimiser state as safetensors.

    The position is written last, so a checkpoint without one was never finished and is ignored.
    Dropout is not used, so parameters, optimiser and step decide every later step.
    """
    target = folder / f"{_NAME}-{position.step:08d}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    tensors = {f"parameter.{name}": value.detach().contiguous() for name, value in parameters.items()}
    for name, value in parameters.items():
        for key, item in optimizer.state[value].items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(item).detach().contiguous()
    save_file(tensors, target / "state.safetensors")
    fsync_folder(target)
    write_atomic(target / "position.json", msgspec.json.encode(position))
    for older in sorted(folder.glob(f"{_NAME}-*")):
        if older != target:
            shutil.rmtree(older, ignore_errors=True)
    return target


def restore_checkpoint(
    folder: Path, plan: str, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> Position:
    """Load the newest finished checkpoint in *folder* into *parameters* and *optimizer*.

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
            hint="train without --resume, which starts a new run",
            state="nothing was trained",
        )
    _fill(load_file(finished[-1] / "state.safetensors"), parameters, optimizer, finished[-1])
    return position


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
            keys[key] = tensors[f"optimizer.{key}.{name}"]
        optimizer.state[value] = keys
