"""Put a trained base into the starter content: `python scripts/ship_base.py MODEL-FOLDER CARD`.

MODEL-FOLDER is what `cortex train recipes/base.toml` leaves; CARD its README.md. Writes the weights,
the model's manifest, the starter agents and the variants with which they begin.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import msgspec
from safetensors import safe_open

from cortex_cli.domain.manifests import Agent, Model, Variant, variant_id
from cortex_cli.models.bases import WEIGHT_FILES, digest_folder
from cortex_cli.registry.actions import render_manifest

ROOT = Path(__file__).resolve().parent.parent
NAME = "cortex-tiny"
FILES = (*WEIGHT_FILES, "tokenizer_config.json", "generation_config.json")
LARGEST = 12_000_000  # bytes of safetensors that may ship
AGENTS = {
    "dispatch": ("An utterance in, a tool call as JSON out", "json", 24),
    "shell": ("A request in, a shell command out", "command", 48),
}


def main() -> None:
    """Copy the model, then write every manifest that depends on it."""
    source, card = Path(sys.argv[1]), Path(sys.argv[2])
    size = (source / "model.safetensors").stat().st_size
    if size > LARGEST:
        sys.exit(f"{source} has {size:,} bytes of weights, at most {LARGEST:,} may ship")
    target = ROOT / "registry" / "models" / NAME
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, target / name)
    shutil.copyfile(card, target / "README.md")
    write(f"models/{NAME}", manifest(target))
    for agent, (summary, judge, limit) in AGENTS.items():
        write_agent(agent, summary, judge, limit)


def manifest(folder: Path) -> Model:
    """Return the manifest of the shipped base."""
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    with safe_open(folder / "model.safetensors", "pt") as weights:
        parameters = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118 - no mapping
    return Model(
        name=NAME,
        kind="embedded",
        source=f"starter:{NAME}",
        digest=digest_folder(folder),
        licence="CC-BY-SA-4.0",
        parameters=parameters,
        context=config["max_position_embeddings"],
        summary="a tiny Llama trained from scratch on openly licensed text; a base for adapters",
    )


def write_agent(agent: str, summary: str, judge: str, limit: int) -> None:
    """Write *agent* with its first champion: the bare base under the starter prompt."""
    prompt = f"prompts/{agent}/main.md"
    text = (ROOT / prompt).read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()
    draft = Variant(id="", agent=agent, model=NAME, prompt=prompt, prompt_blob=blob, parameters={"max_tokens": limit})
    variant = msgspec.structs.replace(draft, id=variant_id(draft))
    for stale in (ROOT / "registry" / "variants").glob(f"{agent}-*.toml"):
        stale.unlink()
    write(f"variants/{variant.id}", variant)
    state = Agent(agent=agent, summary=summary, judge=judge, generation=1, champion=variant.id)  # type: ignore[arg-type]
    write(f"agents/{agent}", state)


def write(name: str, value: msgspec.Struct) -> None:
    """Write *value* as the registry file called *name*."""
    path = ROOT / "registry" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render_manifest(value))


if __name__ == "__main__":
    main()
