"""Does a trained encoder find like requests better than hashed n-grams? Intents of banking77 and clinc150, held out.

An encoder is trained from the embedded base as `recipes/encoder.toml` says, on the training texts of half of the intents
only. Then every request of the held-out part asks for its nearest neighbours among the training texts of all intents:
apart for intents whose labels were learned, and for those never seen with a label. The base has read the texts of
banking77 and of clinc150's training part without labels; clinc150's held-out part it has never seen.
"""

import gzip
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Bar, Report, at_least, tell
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.bases import prepare_torch
from cortex_cli.models.embedding import embed, embed_hashed
from cortex_cli.pipeline.recipes import load_recipe
from cortex_cli.store.starter import starter_root

NEAREST, DRAWS = 10, 2000
INDEXED, ASKED = 5000, 800  # texts per pack: minutes on one core, intervals of about 3 points
Vectors = NDArray[np.float32]
Text = tuple[str, str]  # text, intent


@dataclass(frozen=True)
class Pack:
    """Texts to look among, texts that ask, and for each of these whether its intent was learned."""

    name: str
    indexed: list[Text]
    asked: list[Text]
    learned: NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """An encoder's vectors of known texts, so that a blend with them does not compute them again."""

    hashed: float
    vectors: dict[str, Vectors]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of *texts*."""
        return np.stack([self.vectors[text] for text in texts])


def chance(text: str) -> float:
    """Return a number in [0, 1) that depends on *text* alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def is_learned(pack: str, intent: str) -> bool:
    """Tell whether labels of *intent* are trained on: half of the intents, by hash."""
    return chance(f"intent {pack} {intent}") < 0.5


def read_texts(name: str) -> list[Text]:
    """Return the texts and intents of a part of the starter packs."""
    path = starter_root() / "datasets" / "texts" / f"{name}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return sorted({(row["text"], row["intent"]) for row in rows}, key=lambda row: chance(row[0]))


def read_packs() -> list[Pack]:
    """Return both packs: banking77 split by hash, clinc150 as its authors split it."""
    banking = read_texts("banking77/train")
    held_out = {text for text, _ in banking if chance("held out " + text) < 0.2}
    parts = {
        "banking77": (
            [row for row in banking if row[0] not in held_out],
            [row for row in banking if row[0] in held_out],
        ),
        "clinc150": (read_texts("clinc150/train"), read_texts("clinc150/val")),
    }
    packs = []
    for name, (indexed, asked) in parts.items():
        learned = np.array([is_learned(name, intent) for _, intent in asked[:ASKED]])
        packs.append(Pack(name, indexed[:INDEXED], asked[:ASKED], learned))
    return packs


def train_encoder(packs: Sequence[Pack], run: Path) -> tuple[Any, dict[str, Any]]:
    """Train the encoder of the shipped recipe on the learned intents' texts; return it and what the run did."""
    from cortex_cli.models.encoder import load_encoder
    from cortex_cli.train.fitting import fit_adapter

    recipe = load_recipe(starter_root() / "recipes" / "encoder.toml")
    assert recipe.train is not None  # noqa: S101 - the shipped recipe has the table
    base = starter_root() / "registry" / "models" / "cortex-tiny"
    examples = [
        Example(
            id=f"{pack.name}-{number}",
            agent="dispatch",
            messages=(Message("user", text),),
            answer=f"{pack.name}/{intent}",
            source="supervised",
        )
        for pack in packs
        for number, (text, intent) in enumerate(pack.indexed)
        if is_learned(pack.name, intent)
    ]
    fitted = fit_adapter(examples, base, recipe.train, run, watch=lambda _progress: None)
    result = fitted.result
    told = {
        "examples": fitted.examples,
        "steps": result.steps,
        "tokens": result.tokens,
        "seconds": round(result.seconds),
    }
    return load_encoder(base, fitted.folder), told


def load_untrained(hashed: float) -> Any:
    """Return the base as an encoder without an adapter: what training adds is measured against it."""
    from cortex_cli.models.bases import load_network
    from cortex_cli.models.chat import ChatTokenizer
    from cortex_cli.models.encoder import Encoder, EncoderCard, look_both_ways

    base = starter_root() / "registry" / "models" / "cortex-tiny"
    network = load_network(base, dtype="float32")
    look_both_ways(network)
    return Encoder(network, ChatTokenizer(base), EncoderCard(dimension=network.config.hidden_size, hashed=hashed))


def remember(encoder: Any, pack: Pack) -> Known:
    """Return *encoder* with its vectors of the texts of *pack*, computed once."""
    texts = [text for text, _ in (*pack.indexed, *pack.asked)]
    return Known(encoder.hashed, dict(zip(texts, encoder.embed(texts), strict=True)))


def ask(pack: Pack, indexed: Vectors, asked: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return per question whether its neighbours' vote is right, and the share of them with its intent."""
    names, labels = np.unique([intent for _, intent in pack.indexed], return_inverse=True)
    wanted = np.array([intent for _, intent in pack.asked])
    right, agreeing = np.zeros(len(asked)), np.zeros(len(asked))
    for number, scores in enumerate(asked @ indexed.T):
        near = np.argsort(-scores, kind="stable")[:NEAREST]
        votes = np.bincount(labels[near], weights=np.maximum(scores[near], 0), minlength=len(names))
        right[number] = names[votes.argmax()] == wanted[number]
        agreeing[number] = (names[labels[near]] == wanted[number]).mean()
    return right, agreeing


def compare(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean difference other - one over the same questions, and its bootstrap interval of 95 %."""
    difference = other - one
    rng = np.random.default_rng(0)
    means = difference[rng.integers(0, len(difference), (DRAWS, len(difference)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)


def measure_pack(pack: Pack, encoder: Any, report: Report) -> None:
    """Add to *report* what hashed vectors, the encoder, and blends with it and with the untrained base find in *pack*."""
    texts = [[text for text, _ in part] for part in (pack.indexed, pack.asked)]
    trained, untrained = remember(encoder, pack), remember(load_untrained(encoder.hashed), pack)
    found = {
        "hashed": ask(pack, *map(embed_hashed, texts)),
        "encoder": ask(pack, *map(trained.embed, texts)),
        "untrained_blend": ask(pack, *(embed(part, untrained) for part in texts)),
        "blend": ask(pack, *(embed(part, trained) for part in texts)),
    }
    for intents, chosen in (("learned", pack.learned), ("unseen", ~pack.learned)):
        for place, what in enumerate(("accuracy", "agreement")):
            scores = {name: values[place][chosen] for name, values in found.items()}
            gains = {name: compare(scores["hashed"], scores[name]) for name in scores if name != "hashed"}
            gains["training"] = compare(scores["untrained_blend"], scores["blend"])
            told = {name: round(float(values.mean()), 4) for name, values in scores.items()}
            shown = {f"{name}_gain": [round(value, 4) for value in gain] for name, gain in gains.items()}
            run = {"pack": pack.name, "intents": intents, "what": what, "questions": int(chosen.sum())}
            report.runs.append({**run, **told, **shown})
            report.bars.append(_bar(f"{pack.name}, {intents} intents: {what} over hashed, low end", gains["blend"][1]))


def _bar(name: str, value: float) -> Bar:
    return at_least(name, 100 * value, "points", 0.0, "hashed n-grams, same questions, 95 % bootstrap")


def main() -> None:
    """Train the encoder and measure it on both packs."""
    prepare_torch()
    packs, report = read_packs(), Report()
    with tempfile.TemporaryDirectory() as folder:
        encoder, told = train_encoder(packs, Path(folder))
    report.runs.append({"training": told, "hashed_share": encoder.hashed, "nearest": NEAREST})
    for pack in packs:
        measure_pack(pack, encoder, report)
    tell("encoder", report)


if __name__ == "__main__":
    main()
