"""One run of the benchmark `training`, in a process of its own: `python -m benchmarks.training_run STACK SEED DOCUMENTS EPOCHS`.

Prints one JSON line. Everything that differs between the stacks is in this file.
"""

import time

STARTED = time.perf_counter()  # before anything heavy is imported

import json  # noqa: E402 - the clock comes first
import os  # noqa: E402
import random  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

WINDOW, RATE, RANK, ALPHA = 1024, 2e-4, 8, 16.0
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SKIPPED = 2  # first steps, in which memory is found and kernels are chosen


def documents(count: int, *, longest: int = WINDOW, median: int = 113) -> list[list[int]]:
    """Return *count* texts of token ids, lengths log-normal (median 113, mean 155), ids by a chain that can be learned."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        length = min(longest, max(8, round(rng.lognormvariate(0, 0.8) * median)))
        ids = [rng.randrange(4, 4096)]
        while len(ids) < length:
            # Half of the time the next id follows from the last one: something to learn, and something not.
            ids.append((ids[-1] * 31 + 7) % 4092 + 4 if rng.random() < 0.5 else rng.randrange(4, 4096))
        found.append(ids)
    return found


def network(seed: int) -> Any:
    """Return the Llama of 6.84 million parameters, weights from *seed*."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=6,
        num_attention_heads=4,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


class Clock:
    """When each step ended, and its loss."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def tick(self, loss: float) -> None:
        """Note the end of a step."""
        self.steps.append((time.perf_counter(), loss))


def train_own(ids: Sequence[list[int]], seed: int, epochs: float, clock: Clock) -> list[int]:
    """Train by our own loop and return the useful tokens of each step."""
    from cortex_cli.models.bases import prepare_torch

    prepare_torch()
    import torch

    from cortex_cli.models.lora import attach
    from cortex_cli.train.batches import Row
    from cortex_cli.train.language import LanguageLoss
    from cortex_cli.train.loop import Progress, run_loop
    from cortex_cli.train.spec import LoopSpec, LoraSpec

    model = network(seed).to(torch.bfloat16)
    attach(model, LoraSpec(rank=RANK, alpha=ALPHA, targets=TARGETS), seed=seed)
    threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
    # Constant learning rate on both sides: schedules differ, and are not what is compared.
    spec = LoopSpec(
        learning_rate=RATE, warmup=0.0, hold=1.0, epochs=epochs, window=WINDOW, seed=seed, threads=threads, keep=0
    )
    rows = [Row(tuple(line), ((1, len(line)),), str(number)) for number, line in enumerate(ids)]
    tokens: list[int] = []

    def watch(progress: Progress) -> None:
        clock.tick(progress.loss)
        tokens.append(progress.tokens - sum(tokens))

    with tempfile.TemporaryDirectory() as folder:
        run_loop(LanguageLoss(model, 0, spec), rows, spec, Path(folder), watch=watch)
    return tokens


def train_trl(ids: Sequence[list[int]], seed: int, epochs: float, clock: Clock, stack: str) -> list[int]:
    """Train by TRL's SFTTrainer: *stack* is defaults, packed, or tuned; return the useful tokens of each step."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
    import torch
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTTrainer

    from datasets import Dataset

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    counted: list[int] = []

    def note(*_args: Any, logs: dict[str, Any], **_rest: Any) -> None:
        if "loss" in logs:
            clock.tick(float(logs["loss"]))
            counted.append(int(logs["num_tokens"]))

    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=network(seed),
            args=trl_config(folder, stack, seed, epochs),
            train_dataset=Dataset.from_list([{"input_ids": line} for line in ids]),
            processing_class=word_tokenizer(),
            peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), task_type="CAUSAL_LM"),
            callbacks=[type("Ticks", (TrainerCallback,), {"on_log": note})()],
        )
        trainer.train()
    return [now - before for before, now in zip([0, *counted], counted, strict=False)]


def trl_config(folder: str, stack: str, seed: int, epochs: float) -> Any:
    """Return TRL's settings for *stack*; what is not named is its default."""
    from trl import SFTConfig

    settings: dict[str, dict[str, Any]] = {
        "defaults": {},
        "packed": {"packing": True, "per_device_train_batch_size": 2, "gradient_checkpointing": False},
        "tuned": {
            "gradient_checkpointing": False,
            "train_sampling_strategy": "group_by_length",
            "per_device_train_batch_size": 8,
        },
    }
    return SFTConfig(
        output_dir=folder,
        **settings[stack],
        max_length=WINDOW,
        bf16=True,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        num_train_epochs=epochs,
        use_cpu=True,
        seed=seed,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def word_tokenizer() -> Any:
    """Return the least that TRL takes for a tokenizer: the documents are ids already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<pad>"))  # noqa: S106 - a token of text
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<end>")  # noqa: S106


def main(stack: str, seed: int, count: int, epochs: float, median: int = 113) -> None:
    """Train *count* documents by *stack* and print what it took."""
    ids, clock = documents(count, median=median, longest=WINDOW if median > 20 else 32), Clock()
    made = time.perf_counter()
    tokens = train_own(ids, seed, epochs, clock) if stack == "own" else train_trl(ids, seed, epochs, clock, stack)
    steps = clock.steps
    wall = steps[-1][0] - steps[SKIPPED - 1][0]
    tail = [loss for _, loss in steps[-max(1, len(steps) // 5) :]]
    print(
        json.dumps(
            {
                "stack": stack,
                "seed": seed,
                "documents": count,
                "steps": len(steps),
                "tokens": sum(tokens),
                "tokens_per_s": round(sum(tokens[SKIPPED:]) / wall, 1),
                "seconds": round(steps[-1][0] - made, 2),
                "first_step_s": round(steps[0][0] - STARTED, 2),
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "loss": round(sum(tail) / len(tail), 5),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), *map(int, sys.argv[5:]))
