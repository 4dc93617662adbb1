"""The language-model loss: rows as tensors, hidden states where something is learned, and the loss of each token there."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.attention import use_training_attention
from cortex_cli.train.batches import Plan, Row
from cortex_cli.train.spec import LoopSpec

__all__ = ["LanguageLoss", "Layout", "lay_out"]

_CHUNK = 256  # positions whose logits fit the second-level cache: 128 took 3 % longer, all at once 28 %


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows as tensors: *ids* (batch, length); *picked*, flat positions that predict; *wanted*, the ids to predict there.

    Packed rows stand end to end in one line: *segments* are their lengths, *positions* (1, length) restart at each.
    """

    ids: torch.Tensor
    picked: torch.Tensor
    wanted: torch.Tensor
    segments: tuple[int, ...] | None = None
    positions: torch.Tensor | None = None


def lay_out(rows: Sequence[Row], pad: int, device: torch.device, plan: Plan = "buckets") -> Layout:
    """Lay *rows* (pairs left out) one under the other, padded on the right, or end to end when *plan* is packed.

    No mask is needed: attention looks back only, and nothing is learned on padding.
    """
    segments = tuple(len(row.ids) for row in rows)
    longest = max(segments)
    if plan == "packed":
        ids = torch.tensor([[token for row in rows for token in row.ids]])
        starts = [0, *accumulate(segments)]
    else:
        ids = torch.tensor([[*row.ids, *[pad] * (longest - len(row.ids))] for row in rows])
        starts = list(range(0, len(rows) * longest, longest))
    spans = [
        (start + first, start + end) for row, start in zip(rows, starts, strict=False) for first, end in row.learned
    ]
    # Position t predicts token t + 1.
    picked = torch.tensor([place - 1 for first, end in spans for place in range(first, end)], dtype=torch.long)
    tensors = (ids.to(device), picked.to(device), ids.flatten()[picked + 1].to(device))
    if plan == "packed":
        return Layout(*tensors, segments, torch.cat([torch.arange(length) for length in segments])[None].to(device))
    return Layout(*tensors)


class LanguageLoss(nn.Module):
    """Next-token loss over the learned ids of rows: the objective of supervised fine-tuning and of a base.

    A whole model is trained in float32 and run in the dtype of *spec*; a network with frozen layers runs as it is.
    """

    def __init__(self, network: Any, pad: int, spec: LoopSpec | None = None) -> None:
        super().__init__()
        self.network = network
        self.pad = pad
        self.spec = spec or LoopSpec()
        if not use_training_attention(network) and self.spec.plan == "packed":
            raise UsageError(
                f"{type(network).__name__} of transformers cannot be trained on packed rows",
                hint="set plan = 'buckets' in [train.loop]",
                state="nothing was trained",
            )
        self._head_alone = _is_head_alone(network)
        if self.spec.checkpointing:
            _keep_less(network)
        if self.spec.compile:
            network.base_model.compile(dynamic=True)

    def weigh(self, row: Row) -> float:
        """Return the number of learned ids of *row*."""
        return row.terms

    def loss(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the sum of the losses of the learned ids of *rows*."""
        return self.token_losses(rows).sum()

    def token_losses(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return -log p of every learned id of *rows*, in their order, as float32 (learned,); pairs are not looked at."""
        layout = lay_out(rows, self.pad, next(self.network.parameters()).device, self.spec.plan)
        if self.spec.dtype == "float32" or any(not value.requires_grad for value in self.parameters()):
            return self(layout)  # type: ignore[no-any-return]
        # One cast per micro-batch, gradients come back in float32. Autocast would cast at every layer: 5,600
        # against 9,300 tokens/s.
        cast = {name: value.to(torch.bfloat16) for name, value in self.named_parameters()}
        return torch.func.functional_call(self, cast, (layout,))  # type: ignore[no-any-return]

    def states(self, layout: Layout) -> torch.Tensor:
        """Return the last hidden states (learned, width) that predict the learned ids."""
        hidden = self.network.base_model(**_inputs(layout)).last_hidden_state  # (batch, length, width)
        return hidden.flatten(0, 1)[layout.picked]  # type: ignore[no-any-return]

    def logits(self, layout: Layout) -> torch.Tensor:
        """Return the logits (learned, vocabulary) of the learned ids."""
        if not self._head_alone:
            return self.network(**_inputs(layout)).logits.flatten(0, 1)[layout.picked]  # type: ignore[no-any-return]
        return self.network.get_output_embeddings()(self.states(layout))  # type: ignore[no-any-return]

    def forward(self, layout: Layout) -> torch.Tensor:
        """Return -log p of the ids wanted by *layout*, (learned,) in float32."""
        head: Any = self.network.get_output_embeddings()
        if not self._head_alone:
            return functional.cross_entropy(self.logits(layout).float(), layout.wanted, reduction="none")
        states = self.states(layout)
        if type(head) is nn.Linear and getattr(head, "bias", None) is None and not head.weight.requires_grad:
            losses: torch.Tensor = _HeadLoss.apply(states, head.weight, layout.wanted, self.spec.chunk or _CHUNK)  # type: ignore[no-untyped-call]
            return losses
        if not self.spec.chunk:
            return _losses(states, head, layout.wanted)
        parts = zip(torch.split(states, self.spec.chunk), torch.split(layout.wanted, self.spec.chunk), strict=True)
        return torch.cat([checkpoint(_losses, part, head, wanted, use_reentrant=False) for part, wanted in parts])


def _inputs(layout: Layout) -> dict[str, Any]:
    packed = {} if layout.segments is None else {"position_ids": layout.positions, "segments": layout.segments}
    return {"input_ids": layout.ids, "use_cache": False, **packed}


@torch.no_grad()
def _is_head_alone(network: Any) -> bool:
    # Some models scale or cap their logits after the output layer; then it cannot be applied to single positions.
    ids = torch.tensor([[1, 2]], device=next(network.parameters()).device)
    states = network.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return torch.equal(network.get_output_embeddings()(states), network(input_ids=ids, use_cache=False).logits)


def _keep_less(network: Any) -> None:
    # Only the layers themselves are told that they train: dropout inside of them stays off.
    from transformers.modeling_layers import GradientCheckpointingLayer

    # The second name is that of transformers before 5.23.
    enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    for layer in network.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.training = True


def _losses(states: torch.Tensor, head: nn.Module, wanted: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(head(states).float(), wanted, reduction="none")


class _HeadLoss(torch.autograd.Function):
    """Cross entropy through a frozen output layer, a chunk of positions at a time.

    The loss of a position depends on its own state alone, so the gradient is computed in the forward pass, while the
    chunk's logits are in the cache, and only scaled in the backward pass: 30 against 50 ms for 2,000 positions and
    4,096 words, and no logits are kept.
    """

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor, wanted: torch.Tensor, chunk: int) -> torch.Tensor:
        to_states = torch.empty_like(states)
        losses = torch.empty(len(states), device=states.device)
        for start in range(0, len(states), chunk):
            part = slice(start, start + chunk)
            target = wanted[part, None]
            logs = torch.log_softmax(functional.linear(states[part], weight).float(), -1)  # (chunk, vocabulary)
            losses[part] = -logs.gather(1, target)[:, 0]
            slope = logs.exp_().scatter_add_(1, target, torch.full_like(target, -1, dtype=logs.dtype))
            to_states[part] = slope.to(weight.dtype) @ weight
        ctx.save_for_backward(to_states)
        return losses

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (to_states,) = ctx.saved_tensors
        return to_states * grads[0][:, None].to(to_states.dtype), None, None, None
