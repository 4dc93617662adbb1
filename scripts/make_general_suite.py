"""Write datasets/suites/general.jsonl: general texts on which forgetting is measured, from the shipped packs.

Arithmetic and subjects are rows that the embedded base did not learn: those whose hash leaves them out at the shares of
recipes/base.toml. Dialogues are beginnings of ones that it did learn; another base knows none of all this.
Run: python scripts/make_general_suite.py
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortex_cli.domain.digests import digest_value
from cortex_cli.pipeline.recipes import load_recipe
from cortex_cli.train.spec import TextSpec
from cortex_cli.train.texts import ASSISTANT, END, USER, read_documents

_ROOT = Path(__file__).parent.parent
_PACKS = _ROOT / "datasets" / "texts"
_EACH = 60


def main() -> None:
    """Write the file and say how many rows it has."""
    rows = [*_choose(_solutions()), *_choose(_subjects()), *_choose(_dialogues())]
    target = _ROOT / "datasets" / "suites" / "general.jsonl"
    target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{target.relative_to(_ROOT)}: {len(rows)} cases")


def _choose(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same sixty rows each time, whatever the order of the pack."""
    return sorted(rows, key=digest_value)[:_EACH]


def _read(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(_PACKS / f"{name}.jsonl.gz") as file:
        yield from map(json.loads, file)


def _left_out(pack: str) -> Iterator[tuple[str, str]]:
    """Yield request and answer of every document of *pack* that the base did not learn."""
    spec = load_recipe(_ROOT / "recipes" / "base.toml").pretrain
    assert spec is not None  # noqa: S101  the recipe is in this repository
    (text,) = [text for text in spec.texts if text.pack == pack]
    learned = set(read_documents([text], _PACKS))
    for document in read_documents([TextSpec(pack=pack, reader=text.reader)], _PACKS):
        if document not in learned:
            request, _, answer = document.removeprefix(USER).removesuffix(END).partition(ASSISTANT)
            yield request, answer


def _solutions() -> Iterator[dict[str, Any]]:
    for request, answer in _left_out("gsm8k/train"):
        if len(request) + len(answer) < 600:
            yield {"request": request, "reference": answer, "domain": "arithmetic"}


def _subjects() -> Iterator[dict[str, Any]]:
    for request, answer in _left_out("routellm/mmlu"):
        if len(request) < 400:
            yield {"request": request, "reference": answer, "domain": "knowledge"}


def _dialogues() -> Iterator[dict[str, Any]]:
    for row in _read("taskmaster/dialogs"):
        turns = row["turns"]
        if len(turns) < 4 or turns[0][0] != "user" or turns[1][0] == "user" or len(turns[1][1]) < 20:
            continue
        yield {"request": turns[0][1], "reference": turns[1][1], "domain": "dialogue"}


if __name__ == "__main__":
    main()
