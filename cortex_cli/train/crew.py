"""Who shares the work of a training step: one process alone, or several that sum their gradients."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import distributed

from cortex_cli.domain.errors import UsageError

__all__ = ["ALONE", "Crew", "Workers"]

Item = TypeVar("Item")


class Crew(Protocol):
    """The workers of a run; every one of them plans the same batches, only rank 0 writes files."""

    @property
    def rank(self) -> int:
        """Return the number of this worker, from 0."""
        ...

    @property
    def size(self) -> int:
        """Return how many workers there are."""
        ...

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return those of *items*, the micro-batches of a step, that this worker computes."""
        ...

    def reduce(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each of *tensors* by its sum over all workers."""
        ...


class _Alone:
    rank = 0
    size = 1

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        return items

    def reduce(self, tensors: Sequence[torch.Tensor]) -> None:
        del tensors  # the sum over one worker is what it has


ALONE: Crew = _Alone()


class Workers:
    """The processes of torch.distributed, which must be initialised; micro-batches go round among them.

    Every worker gets the same sums in the same order of addition, so their weights stay equal to the bit.
    """

    def __init__(self) -> None:
        if not distributed.is_initialized():
            raise UsageError("torch.distributed is not initialised in this process", state="nothing was trained")
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return every size-th of *items*, from this worker's rank on."""
        return items[self.rank :: self.size]

    def reduce(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each of *tensors* by its sum over all workers, with one message per dtype."""
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            same = [tensor for tensor in tensors if tensor.dtype == dtype]
            whole = torch.cat([tensor.detach().flatten() for tensor in same])  # (all numbers of this dtype,)
            distributed.all_reduce(whole)
            for tensor, part in zip(same, torch.split(whole, [tensor.numel() for tensor in same]), strict=True):
                tensor.copy_(part.view_as(tensor))
