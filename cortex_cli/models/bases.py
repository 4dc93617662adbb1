"""Base models: from a manifest to a folder on disk, and from a folder to weights in memory."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cortex_cli.domain.errors import IntegrityError, MissingExtraError, NotBuiltError, UsageError
from cortex_cli.domain.manifests import Model

__all__ = [
    "check_folder",
    "digest_folder",
    "find_folder",
    "load_network",
    "prepare_torch",
    "require_train_extra",
    "silence_transformers",
]

# What makes a model folder: nothing else in it is opened, so nothing else needs a digest.
WEIGHT_FILES = ("config.json", "model.safetensors", "tokenizer.json")


def find_folder(model: Model, starter: Path, root: Path) -> Path:
    """Return the folder with the weights of *model*.

    `starter:<name>` is shipped with the package under *starter*; any other source of an embedded
    or local model is a path, relative to the workspace *root* or absolute.
    Raises `UsageError` if the folder has no safetensors, `NotBuiltError` for kinds still to come.
    """
    if model.kind in {"ollama", "api"}:
        raise NotBuiltError(f"models of kind {model.kind}")
    if model.kind == "hub":
        return _find_hub_folder(model)
    name = model.source.removeprefix("starter:")
    folder = starter / "registry" / "models" / name if name != model.source else root / model.source
    missing = [file for file in WEIGHT_FILES if not (folder / file).is_file()]
    if missing:
        raise UsageError(
            f"model '{model.name}' has no {', '.join(missing)} in '{folder}'",
            hint="cortex doctor",
            state="nothing was changed",
        )
    return folder


def digest_folder(folder: Path) -> str:
    """Return the tagged SHA-256 over the model's files, in the order of `WEIGHT_FILES`."""
    whole = hashlib.sha256()
    for name in WEIGHT_FILES:
        with (folder / name).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return "sha256:" + whole.hexdigest()


def check_folder(model: Model, folder: Path) -> None:
    """Raise `IntegrityError` if *folder* is not what the manifest of *model* names."""
    if model.digest and (found := digest_folder(folder)) != model.digest:
        raise IntegrityError(
            f"model '{model.name}' changed: expected {model.digest}, found {found}",
            hint="cortex fsck",
            state="nothing was loaded",
        )


def load_network(folder: Path, *, dtype: str = "float32", bits: int = 16) -> Any:
    """Load the causal language model in *folder*, safetensors only, in evaluation mode.

    Attention is the plain matrix form: for the short sequences of a small model on a CPU it ran
    1.75 times as fast as the fused kernel, whose backward pass took 40 % of a training step.
    With *bits* 4 the linear layers are held in 4 bits on the GPU. Raises `UsageError` where that cannot be, and for
    a folder whose weights are not floating-point numbers.
    """
    require_train_extra("a local model")
    silence_transformers()
    import torch
    from transformers import AutoModelForCausalLM

    _check_weights(folder)
    network = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        attn_implementation="eager",
        **(_four_bits() if bits == 4 else {}),
    )
    return network.eval()


def _check_weights(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if method := config.get("quantization_config"):
        raise UsageError(
            f"the weights in '{folder.name}' are quantised ({method.get('quant_method', 'unknown')}), not bfloat16 or float32",
            hint="use the model as it was before, and bits = 4 in [train.lora] where a GPU is at hand",
            state="nothing was loaded",
        )


def _four_bits() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "4 bits need a GPU, and none was found",
            hint="train with bits = 16 in [train.lora], or a smaller base",
            state="nothing was trained",
        )
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise MissingExtraError("training over a base in 4 bits", "gpu")
    from transformers import BitsAndBytesConfig

    # The form of QLoRA, Dettmers et al. 2023, arXiv:2305.14314: normal floats, their scales quantised too.
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": four, "device_map": {"": 0}}


def require_train_extra(capability: str) -> None:
    """Raise `MissingExtraError` unless torch and transformers can be imported."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("torch", "transformers", "tokenizers", "safetensors")):
        raise MissingExtraError(capability, "train")


def prepare_torch() -> None:
    """Set what torch reads once; call it before the first import of torch.

    oneDNN keeps 1,024 compiled primitives, one per shape; training has a new shape every few steps.
    With 64 of them a process grew half as much over 160 steps.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def silence_transformers() -> None:
    """Keep transformers from drawing progress bars and printing advice on a user's terminal."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _find_hub_folder(model: Model) -> Path:
    if not model.revision:
        raise UsageError(
            f"model '{model.name}' names a hub id without a revision",
            hint="set revision = '<commit>' in its manifest, so that the same bytes are loaded each time",
            state="nothing was changed",
        )
    require_train_extra("a hub model")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt"]
    try:
        return Path(snapshot_download(model.source, revision=model.revision, allow_patterns=patterns))
    except OSError as error:  # not in the cache, and offline or no such repository
        raise UsageError(
            f"model '{model.name}' is not here and cannot be fetched: '{model.source}' at {model.revision[:12]}",
            hint=f"once with a network: hf download {model.source} --revision {model.revision}",
            state="nothing was changed",
        ) from error
