"""A base with its adapter merged in, as a folder that needs neither this program nor peft."""

import json
import shutil
from pathlib import Path

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.bases import load_network
from cortex_cli.models.lora import merge_adapter

__all__ = ["export_merged"]

_BESIDE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def export_merged(base: Path, adapter: Path, target: Path) -> Path:
    """Write the model in *base* with *adapter* merged in to the new folder *target*, in the dtype of the base.

    The sum is made in float32 and rounded once. Nothing is left of *target* if it fails. Raises `UsageError` if the
    folder is there already.
    """
    if target.exists():
        raise UsageError(f"'{target}' is there already", hint=f"ls '{target}'", state="nothing was written")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    network = load_network(base, dtype=config.get("dtype") or config.get("torch_dtype") or "float32")
    merge_adapter(network, adapter)
    try:
        network.save_pretrained(target)
        for name in _BESIDE:
            if (base / name).is_file():
                shutil.copyfile(base / name, target / name)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target
