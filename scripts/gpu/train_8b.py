"""Train a LoRA on a Llama of the shape of Llama 3 8B with random weights, and tell tokens/s, memory and share of the peak.

`python scripts/gpu/train_8b.py` on a machine with a GPU, from the root of the repository: our loop, then TRL with peft
where it is installed, then our loop over a base of 4 bits, which is to fit 24 GB; each in a process of its own. Without a
GPU it says so and ends with 0. `--layers 2 --hidden 256 --device cpu` is a smoke test and no measurement.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

STACKS = ("own", "trl", "own-4bit")
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LARGEST_4BIT = 24e9  # bytes of the card that a base of 4 bits is to be trained on
GOAL = 0.5  # of the measured peak of a matrix product
SKIPPED = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """What is trained: the shape of the model, and *length* tokens in each of *steps* steps."""

    layers: int = 32
    hidden: int = 4096
    vocabulary: int = 128256
    length: int = 4096
    steps: int = 12
    rank: int = 16
    checkpointing: bool = False
    device: str = "cuda"

    @property
    def heads(self) -> int:
        """Return the query heads, of 128 numbers each as in Llama 3 (64 in a small model)."""
        return max(1, self.hidden // (128 if self.hidden >= 1024 else 64))

    @property
    def feed_forward(self) -> int:
        """Return the width of the feed-forward: 3.5 times that of the model."""
        return self.hidden * 7 // 2


def main() -> int:
    """Run what was asked for; 1 if a run failed or a goal was missed."""
    options = parse()
    if options.device == "cuda" and not has_gpu():
        print("not run: no GPU")
        return 0
    names = [field for field in Shape.__dataclass_fields__ if hasattr(options, field)]
    shape = Shape(**{name: getattr(options, name) for name in names})
    if options.stack:
        print(json.dumps(run(options.stack, shape)))
        return 0
    found = [run_apart(stack) for stack in STACKS if stack != "trl" or find_spec("trl")]
    return tell(found, shape)


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("layers", "hidden", "vocabulary", "length", "steps", "rank"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Shape(), name))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    parser.add_argument("--stack", choices=STACKS, help="only this one, in this process")
    return parser.parse_args()


def has_gpu() -> bool:
    """Return whether torch can use a GPU."""
    import torch

    return torch.cuda.is_available()


def run_apart(stack: str) -> dict[str, Any]:
    """Run *stack* in a process of its own, so that its peak of memory is its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--stack", stack]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{") and '"stack"' in line]
    if done.returncode or not lines:
        return {"stack": stack, "error": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def run(stack: str, shape: Shape) -> dict[str, Any]:
    """Train by *stack* and return its figures."""
    import torch

    network = make_network(shape, four_bits=stack == "own-4bit")
    count = sum(value.numel() for value in network.parameters()) if stack != "own-4bit" else 0
    peak = measure_peak(shape.device)
    if shape.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ends = (train_trl if stack == "trl" else train_own)(network, shape)
    seconds = (ends[-1] - ends[SKIPPED - 1]) / (len(ends) - SKIPPED)
    rate = shape.length / seconds
    figures = {
        "stack": stack,
        "parameters": count,
        "tokens_per_s": round(rate, 1),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if shape.device == "cuda" else None,
        "matmul_tflops": round(peak / 1e12, 3),
        "share_of_peak": round(rate * flop_per_token(shape) / peak, 3),
    }
    return {**figures, "shape": asdict(shape)}


def flop_per_token(shape: Shape) -> float:
    """Return the operations that a token needs: nothing that is recomputed, no gradient of a frozen weight.

    A weight costs 2 forward and 2 for the gradient of its input. Attention looks at half of the length on average:
    2 products of 2 operations forward, and twice that backward.
    """
    width, pairs = shape.hidden, max(1, shape.heads // 4) / shape.heads
    layer = 2 * width * width * (1 + pairs) + 3 * width * shape.feed_forward
    weights = shape.layers * layer + width * shape.vocabulary
    return 4 * weights + shape.layers * 6 * shape.length * width


def measure_peak(device: str) -> float:
    """Return the operations per second of a large product in bf16, the best of ten."""
    import torch

    size = 8192 if device == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        begun = clock(device)
        a @ b
        best = min(best, clock(device) - begun)
    return float(2 * size**3 / best)


def clock(device: str) -> float:
    """Return the time once the device has done all that it was given."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def make_network(shape: Shape, *, four_bits: bool) -> Any:
    """Return a Llama of *shape* with random weights in bf16 on the device."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=max(1, shape.heads // 4),
        max_position_embeddings=2 * shape.length,
        pad_token_id=0,
        dtype=torch.bfloat16,
    )
    with torch.device(shape.device):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            network = LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(before)
    if four_bits:
        put_into_four_bits(network, shape.device)
    return network.requires_grad_(False)


def put_into_four_bits(network: Any, device: str) -> None:
    """Replace the linear layers of *network*, its head left out, by layers of 4 bits (nf4) of bitsandbytes."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is torch.nn.Linear and name in TARGETS:
                small = Linear4bit(
                    layer.in_features,
                    layer.out_features,
                    bias=False,
                    compute_dtype=torch.bfloat16,
                    quant_type="nf4",
                    device="meta",
                )
                small.weight = Params4bit(layer.weight.data.cpu(), requires_grad=False, quant_type="nf4")
                setattr(parent, name, small.to(device))


def random_rows(shape: Shape) -> list[list[int]]:
    """Return a row per step: each is full, as rows are that documents are packed into."""
    import torch

    draw = torch.Generator().manual_seed(0)
    rows: list[list[int]] = torch.randint(4, shape.vocabulary, (shape.steps, shape.length), generator=draw).tolist()
    return rows


def train_own(network: Any, shape: Shape) -> list[float]:
    """Train by our loop and return when each step ended."""
    from cortex_cli.models.lora import attach
    from cortex_cli.train.batches import Row
    from cortex_cli.train.language import LanguageLoss
    from cortex_cli.train.loop import run_loop
    from cortex_cli.train.spec import LoopSpec, LoraSpec

    attach(network, LoraSpec(rank=shape.rank, alpha=2.0 * shape.rank, targets=TARGETS), seed=0)
    spec = LoopSpec(
        learning_rate=1e-4,
        batch_tokens=shape.length,
        window=shape.length,
        plan="packed",
        epochs=1.0,
        chunk=1024,
        checkpointing=shape.checkpointing,
        checkpoint_every=shape.steps + 1,
        keep=0,
    )
    rows = [Row(tuple(ids), ((1, len(ids)),), str(number)) for number, ids in enumerate(random_rows(shape))]
    ends: list[float] = []
    with TemporaryDirectory() as folder:
        model = LanguageLoss(network, 0, spec)
        run_loop(model, rows, spec, Path(folder), watch=lambda _progress: ends.append(clock(shape.device)))
    return ends


def train_trl(network: Any, shape: Shape) -> list[float]:
    """Train by TRL with peft and return when each step ended."""
    import os

    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTTrainer

    from datasets import Dataset

    ends: list[float] = []
    note: Callable[..., None] = lambda *_args, **_rest: ends.append(clock(shape.device))  # noqa: E731 - a method below
    ticks = type("Ticks", (TrainerCallback,), {"on_step_end": note})
    with TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=network,
            args=trl_config(folder, shape),
            train_dataset=Dataset.from_list([{"input_ids": ids} for ids in random_rows(shape)]),
            processing_class=word_tokenizer(),
            peft_config=LoraConfig(
                r=shape.rank, lora_alpha=2 * shape.rank, target_modules=list(TARGETS), task_type="CAUSAL_LM"
            ),
            callbacks=[ticks()],
        )
        trainer.train()
    return ends


def trl_config(folder: str, shape: Shape) -> Any:
    """Return TRL's settings for one full row per step."""
    from trl import SFTConfig

    return SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=1,
        num_train_epochs=1,
        learning_rate=1e-4,
        max_length=shape.length,
        bf16=True,
        gradient_checkpointing=shape.checkpointing,
        use_cpu=shape.device == "cpu",
        logging_steps=shape.steps,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def word_tokenizer() -> Any:
    """Return the least that TRL takes for a tokenizer: the rows are ids already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<pad>"))  # noqa: S106 - a token of text
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<end>")  # noqa: S106


def tell(found: list[dict[str, Any]], shape: Shape) -> int:
    """Print what was found and whether it reaches the goals, which only hold for the whole model on a GPU."""
    for figures in found:
        print(json.dumps(figures))
    if replace(shape, checkpointing=False, steps=Shape().steps) != Shape():
        print("no measurement: another shape or device")
        return int(any("error" in figures for figures in found))
    own, small = found[0], found[-1]
    good = own.get("share_of_peak", 0) >= GOAL
    fits = small.get("peak_gb") is not None and small["peak_gb"] * 1e9 <= LARGEST_4BIT
    print(f"share of the measured peak: {own.get('share_of_peak')}, goal {GOAL}: {'yes' if good else 'NO'}")
    print(f"4 bits fit 24 GB: {small.get('peak_gb')} GB: {'yes' if fits else 'NO'}")
    return int(not (good and fits))


if __name__ == "__main__":
    sys.exit(main())
