"""`engine = "trl"`: training by Hugging Face's TRL, for GRPO and as a second opinion on our own loop.

Examples, template, adapter shape and settings are those of the recipe; batches, and the learning rate after its warm-up
(a straight line to 0), are TRL's. Nothing is sent anywhere: no telemetry, no hub, no tracker of its own.
"""

import json
import os
import time
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import Any, Protocol

import msgspec
import torch

from cortex_cli.domain.errors import CortexError, MissingExtraError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.store.atomic import write_atomic
from cortex_cli.train.batches import Row
from cortex_cli.train.fitting import Fitted, check_enough
from cortex_cli.train.loop import Progress, Result, Watch
from cortex_cli.train.sft import encode_examples
from cortex_cli.train.spec import TrainSpec

__all__ = ["Reward", "fit_rewarded", "fit_trl"]

# Read by the libraries of Hugging Face when they are imported.
_SILENT = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "WANDB_DISABLED": "true"}
_FILES = ("adapter_config.json", "adapter_model.safetensors")


class Reward(Protocol):
    """The agent's judge, as GRPO asks it."""

    def __call__(self, example: Example, answer: str) -> float:
        """Return how good *answer* is to the request of *example*."""
        ...


def fit_trl(
    examples: Sequence[Example], base: Path, spec: TrainSpec, run: Path, *, watch: Watch, start: Path | None = None
) -> Fitted:
    """Train an adapter by SFT, DPO or KTO; go on if *run* has a checkpoint, or from the adapter in *start*.

    Raises `MissingExtraError` without TRL, and `UsageError` for what it cannot do.
    """
    _import_trl()
    check_enough(examples, spec)
    if spec.objective not in {"sft", "preference"} or spec.lora.bits != 16:
        what = spec.objective if spec.lora.bits == 16 else "lora.bits = 4"
        raise UsageError(
            f"{what} cannot be trained with the engine trl here",
            hint="set engine = 'native' in [train]",
            state="nothing was trained",
        )
    tokenizer = ChatTokenizer(base)
    rows, counts = encode_examples(examples, tokenizer, spec.loop.window)
    network = _network(base, spec, start)
    if spec.objective == "sft":
        trainer = _supervised(rows, network, spec, run, tokenizer)
        learned = len(rows)
    else:
        fitting = {row.example for row in rows}
        chosen = [example for example in examples if example.id in fitting or example.rejected]
        trainer, learned = _preferred(chosen, network, spec, run, tokenizer)
    return _run(trainer, run, watch, (learned, counts))


def fit_rewarded(
    examples: Sequence[Example], base: Path, spec: TrainSpec, run: Path, *, reward: Reward, watch: Watch
) -> Fitted:
    """Train an adapter by GRPO (arXiv:2402.03300): answers of the model itself, judged by *reward*.

    Raises `MissingExtraError` without TRL.
    """
    trl = _import_trl()
    check_enough(examples, spec)
    tokenizer, table = ChatTokenizer(base), spec.grpo
    config = trl.GRPOConfig(
        **_settings(spec, run, table.group * max(1, spec.loop.batch_tokens // (spec.loop.window * table.group))),
        num_generations=table.group,
        temperature=table.heat,
        max_completion_length=table.max_tokens,
        beta=table.beta,
    )

    def judge(completions: Sequence[Any], number: Sequence[int], **_rest: Any) -> list[float]:
        return [reward(examples[at], said[-1]["content"]) for said, at in zip(completions, number, strict=True)]

    trainer = trl.GRPOTrainer(
        model=_network(base, spec, None),
        reward_funcs=judge,
        args=config,
        train_dataset=_table({"prompt": _asked(example), "number": at} for at, example in enumerate(examples)),
        processing_class=_inner(tokenizer),
    )
    return _run(trainer, run, watch, (len(examples), {}))


def _import_trl() -> Any:
    if any(find_spec(name) is None for name in ("trl", "datasets", "peft")):
        raise MissingExtraError("training with TRL", "trl")
    os.environ.update(_SILENT)
    import trl

    from datasets import disable_progress_bars

    disable_progress_bars()
    return trl


def _network(base: Path, spec: TrainSpec, start: Path | None) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    network, shape = load_network(base, dtype="float32"), spec.lora
    if start is not None:
        return PeftModel.from_pretrained(network, start, is_trainable=True)
    torch.manual_seed(spec.loop.seed)
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,  # whole or not: peft only divides by the rank
        target_modules=list(shape.targets),
        use_rslora=shape.kind == "rslora",
        use_dora=shape.kind == "dora",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(network, config)


def _supervised(rows: Sequence[Row], network: Any, spec: TrainSpec, run: Path, tokenizer: ChatTokenizer) -> Any:
    import trl

    def labels(row: Row) -> list[int]:
        learned = {place for start, end in row.learned for place in range(start, end)}
        return [token if place in learned else -100 for place, token in enumerate(row.ids)]

    settings = _settings(spec, run, _rows_per_batch(rows, spec))
    return trl.SFTTrainer(
        model=network,
        args=trl.SFTConfig(**settings, max_length=None, packing=spec.loop.plan == "packed"),
        train_dataset=_table({"input_ids": list(row.ids), "labels": labels(row)} for row in rows),
        processing_class=_inner(tokenizer),
    )


def _preferred(
    examples: Sequence[Example], network: Any, spec: TrainSpec, run: Path, tokenizer: ChatTokenizer
) -> tuple[Any, int]:
    import trl

    table, inner = spec.preference, _inner(tokenizer)
    settings = _settings(spec, run, max(2, spec.loop.batch_tokens // (2 * spec.loop.window)))
    settings |= {"beta": table.beta, "max_length": spec.loop.window}
    if table.loss == "kto":
        sides = [side for example in examples for side in _sides(example, inner)]
        good = sum(side["label"] for side in sides)
        weights = {
            "desirable_weight": table.wanted or 1.0,
            "undesirable_weight": table.unwanted or good / max(1, len(sides) - good),
        }
        config, rows, kind = trl.KTOConfig(**settings, **weights), sides, trl.KTOTrainer
    else:
        mixed = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, table.sft]} if table.sft else {}
        config = trl.DPOConfig(**settings, label_smoothing=table.smoothing, **mixed)
        rows, kind = [_pair(example, inner) for example in examples if example.rejected], trl.DPOTrainer
    trainer = kind(model=network, args=config, train_dataset=_table(rows), processing_class=inner)
    return trainer, len(rows)


def _settings(spec: TrainSpec, run: Path, rows: int) -> dict[str, Any]:
    loop = spec.loop
    return {
        "output_dir": str(run / "trl"),
        "per_device_train_batch_size": rows,
        "num_train_epochs": loop.epochs,
        "learning_rate": loop.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": loop.warmup,  # below 1 it is a share of all steps
        "adam_beta2": 0.95,
        "weight_decay": loop.weight_decay,
        "max_grad_norm": loop.clip,
        "bf16": loop.dtype == "bfloat16",
        "gradient_checkpointing": loop.checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "seed": loop.seed,
        "logging_steps": 1,
        "save_steps": loop.checkpoint_every,
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }


def _run(trainer: Any, run: Path, watch: Watch, learned: tuple[int, dict[str, int]]) -> Fitted:
    from transformers import PrinterCallback, TrainerCallback

    trainer.remove_callback(PrinterCallback)
    teller = _Teller(run / "metrics.jsonl", watch)
    # The trainer asks a callback for every event there is; what is not told falls to its base class.
    trainer.add_callback(type("Told", (TrainerCallback,), {"on_log": teller.on_log})())
    with torch.enable_grad():
        trainer.train(resume_from_checkpoint=any((run / "trl").glob("checkpoint-*")) or None)
    if not teller.seen:
        raise CortexError("TRL made no step", hint="look at the examples", state="no adapter was made")
    folder = _save(trainer.model, run)
    last, tail = teller.seen[-1], teller.seen[-max(20, len(teller.seen) // 10) :]
    loss = sum(progress.loss for progress in tail) / len(tail)
    return Fitted(folder, Result(last.step, last.tokens, last.seconds, loss, last.step < last.steps), *learned)


class _Teller:
    """Writes what TRL logs as our own metrics, and passes it on."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self.path = path
        self.watch = watch
        self.seen: list[Progress] = []
        self.started = time.monotonic()
        path.unlink(missing_ok=True)

    def on_log(self, _args: Any, state: Any, _control: Any, *, logs: dict[str, Any], **_rest: Any) -> None:
        """Tell one step; the summary that TRL logs at its end has no loss of a step and is left out."""
        if "loss" not in logs:
            return
        progress = Progress(
            step=state.global_step,
            steps=state.max_steps,
            loss=round(float(logs["loss"]), 6),
            learning_rate=float(logs.get("learning_rate", 0.0)),
            tokens=int(logs.get("num_tokens", 0)),
            seconds=round(time.monotonic() - self.started, 3),
        )
        self.seen.append(progress)
        with self.path.open("ab") as metrics:
            metrics.write(msgspec.json.encode(progress) + b"\n")
        self.watch(progress)


def _save(network: Any, run: Path) -> Path:
    """Write the adapter, and nothing else of what peft writes; its config names no folder of this machine."""
    written, folder = run / "trl" / "adapter", run / "adapter"
    network.save_pretrained(written)
    config = json.loads((written / _FILES[0]).read_text(encoding="utf-8")) | {"base_model_name_or_path": None}
    folder.mkdir(parents=True, exist_ok=True)
    (written / _FILES[1]).replace(folder / _FILES[1])
    write_atomic(folder / _FILES[0], (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    rmtree(written)
    return folder


def _rows_per_batch(rows: Sequence[Row], spec: TrainSpec) -> int:
    mean = sum(row.tokens for row in rows) / max(1, len(rows))
    return max(1, int(spec.loop.batch_tokens / max(1.0, mean)))


def _table(rows: Iterable[dict[str, Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(list(rows))


def _inner(tokenizer: ChatTokenizer) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer.folder, local_files_only=True, trust_remote_code=False)


def _asked(example: Example) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in example.messages]


def _rendered(example: Example, inner: Any) -> str:
    # As serving shows it. TRL would render prompt and answer together, without the mark that opens an answer where a
    # template has it for the prompt alone; and it adds the token that begins a text, which a template may have added.
    text = str(inner.apply_chat_template(_asked(example), tokenize=False, add_generation_prompt=True))
    return text.removeprefix(inner.bos_token or "")


def _pair(example: Example, inner: Any) -> dict[str, Any]:
    return {"prompt": _rendered(example, inner), "chosen": example.answer, "rejected": example.rejected}


def _sides(example: Example, inner: Any) -> list[dict[str, Any]]:
    prompt = _rendered(example, inner)
    both = ((example.answer, True), (example.rejected, False))
    return [{"prompt": prompt, "completion": text, "label": wanted} for text, wanted in both if text]
