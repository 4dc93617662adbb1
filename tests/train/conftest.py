import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_cli.train.spec import LoopSpec, PretrainSpec, ShapeSpec, TextSpec

INTENTS = ("book_flight", "set_alarm", "play_music", "check_balance")
ASKED = {
    "book_flight": ["book a flight to {}", "i need a plane ticket to {}", "fly me to {}"],
    "set_alarm": ["wake me at {}", "set an alarm for {}", "alarm at {} please"],
    "play_music": ["play something by {}", "put on {}", "i want to hear {}"],
    "check_balance": ["how much is on account {}", "balance of account {}", "what do i have in {}"],
}
WORDS = ("paris", "seven", "mozart", "nine", "rome", "savings", "abba", "noon", "oslo", "checking")


def requests() -> Iterator[tuple[str, str]]:
    for intent in INTENTS:
        for template in ASKED[intent]:
            for word in WORDS:
                yield template.format(word), intent


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text packs of the shapes that the shipped recipe reads, a few hundred rows in all."""
    root = tmp_path_factory.mktemp("packs")
    asked = list(requests())
    turns = [["user", text, "BookFlight"] for text, _ in asked[:2]]
    dialogues: list[dict[str, object]] = [
        {"turns": [["user", text, "BookFlight" if "fl" in text else "NONE"], ["system", "Done: " + text]]}
        for text, _ in asked
    ]
    write_rows(root / "sgd/train.jsonl.gz", [*dialogues, {"turns": [turns[0], ["system", "ok"], turns[1]]}])
    write_rows(root / "clinc150/train.jsonl.gz", [{"text": text, "intent": intent} for text, intent in asked])
    write_rows(
        root / "tldr/pages.jsonl.gz", [{"description": "List " + word, "command": "ls " + word} for word in WORDS]
    )
    write_rows(
        root / "gsm8k/train.jsonl.gz",
        [{"question": "What is 2 + 2?", "answer": "It is 2+2=<<2+2=4>>4.\n#### 4"}],
    )
    write_rows(root / "routellm/mmlu.jsonl.gz", [{"prompt": "Is water wet?\nA. yes", "domain": "physics"}])
    return root


@pytest.fixture(scope="session")
def miniature() -> PretrainSpec:
    """The shipped recipe in miniature: same tables, same readers, a model of 0.1 M parameters."""
    return PretrainSpec(
        name="mini",
        texts=(
            TextSpec(pack="sgd/train", reader="dialogue", share=0.9),
            TextSpec(pack="sgd/train", reader="intent"),
            TextSpec(pack="clinc150/train", reader="utterance", share=2.0),
            TextSpec(pack="clinc150/train", reader="keyword"),
            TextSpec(pack="tldr/pages", reader="command"),
            TextSpec(pack="gsm8k/train", reader="solution"),
            TextSpec(pack="routellm/mmlu", reader="subject"),
        ),
        shape=ShapeSpec(vocabulary=400, hidden=64, layers=2, heads=2, feed_forward=128, context=128),
        loop=LoopSpec(learning_rate=3e-3, batch_tokens=1024, epochs=8.0, window=64, checkpoint_every=10, threads=1),
        held_out=0.05,
    )
