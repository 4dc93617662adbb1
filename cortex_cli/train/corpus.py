"""What the tagger learns from: marked texts with other values, filled templates, and texts without names.

No label of `clinc150` or `banking77` is read. Words of clean texts that may be names all the same (places in
requests for the weather, people in sums) are left out of what is learned.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cortex_cli.domain.errors import UsageError
from cortex_cli.train.annotated import UNKNOWN, Annotated, Mark, mask_marks, read_annotated, vary_case
from cortex_cli.train.spec import TaggerSpec
from cortex_cli.train.templates import Pool, Templates
from cortex_cli.train.texts import read_rows

__all__ = ["CLEAN", "Corpus", "Cuts", "count_plain", "make_texts", "read_clean", "read_corpus"]

# What rules take of a text: start, end and kind, in order and apart.
Cuts = Callable[[str], Sequence[tuple[int, int, str]]]

# Packs that hold no personal data, or next to none, and their fields.
CLEAN: dict[str, tuple[str, ...]] = {
    "banking77/train": ("text",),
    "clinc150/train": ("text",),
    "clinc150/oos_train": ("text",),
    "nl2bash/pairs": ("request", "command"),
    "tldr/pages": ("description", "command"),
    "gsm8k/train": ("question", "answer"),
}


def read_clean(packs: Path) -> Iterator[tuple[str, str]]:
    """Yield every text, after the name of its pack and field, of the packs that hold no personal data."""
    for pack, fields in CLEAN.items():
        path = packs / f"{pack}.jsonl.gz"
        if not path.is_file():
            raise UsageError(f"text pack '{path}' is missing", state="nothing was trained")
        for row in read_rows(path):
            for field in fields:
                yield f"{pack}:{field}", row[field]


class Corpus(NamedTuple):
    """The sources of a training: marked texts, clean texts by pack and field, templates, and words that are no names."""

    marked: list[Annotated]
    clean: list[tuple[str, str]]
    templates: Templates
    plain: dict[str, int]


def read_corpus(spec: TaggerSpec, packs: Path) -> Corpus:
    """Read what *spec* names from the folder *packs*; raise `UsageError` naming a pack that is not there."""
    marked = [text for pack in spec.marked for text in read_annotated(packs / f"{pack}.jsonl.gz")]
    templates = Templates(packs / spec.templates)
    names = templates.words("given", "surname", "city_name", "country_name", "group_one", "group_many", "state")
    return Corpus(marked, list(read_clean(packs)), templates, count_plain(packs, names, templates.words("function")))


def make_texts(corpus: Corpus, spec: TaggerSpec, cuts: Cuts) -> list[Annotated]:
    """Return the texts to learn from, as they look after *cuts*: the same for the same seed."""
    source = random.Random(spec.seed)  # noqa: S311 - a reproducible draw, not a secret
    pool = Pool(corpus.marked, corpus.templates)
    texts = list(corpus.marked)
    texts += [vary_case(pool.swap(text, source), source) for text in corpus.marked for _ in range(spec.swaps)]
    texts += [
        vary_case(corpus.templates.fill(line, source), source)
        for line in corpus.templates.lines
        for _ in range(spec.fillings)
    ]
    texts += [Annotated(form) for line in corpus.templates.clean for form in (line, line, line, line.lower())]
    texts += _choose_clean(corpus, spec, source)
    return [mask_marks(text, cuts(text.text)) for text in texts]


def _choose_clean(corpus: Corpus, spec: TaggerSpec, source: random.Random) -> Iterator[Annotated]:
    ordinary = corpus.templates.words("ordinary")
    names = corpus.templates.words("country_name", "city_name", "group_one", "group_many", "state") - ordinary
    people = names | corpus.templates.words("given") - ordinary
    by_pack: dict[str, list[str]] = {}
    for pack, text in corpus.clean:
        by_pack.setdefault(pack, []).append(text)
    for pack, texts in by_pack.items():
        most = min(len(texts), round(spec.clean * _SHARES.get(pack.partition("/")[0], 1.0)))
        for text in source.sample(texts, most):
            yield _doubt(pack, text, people if pack.startswith("gsm8k") else names)


# Long texts give more words; commands of tldr are much alike.
_SHARES = {"gsm8k": 0.2, "nl2bash": 1.6, "tldr": 0.8}
_INSIDE_SENTENCE = re.compile(r"(?<=[^.!?\n:] )[A-Z][a-z]+")


def _doubt(pack: str, text: str, names: set[str]) -> Annotated:
    if not pack.startswith(("banking77", "clinc150", "gsm8k")):
        return Annotated(text, (), pack)
    doubted = {match.span() for match in re.finditer(r"\w+", text) if match[0].lower() in names}
    if pack.startswith("gsm8k"):
        doubted |= {match.span() for match in _INSIDE_SENTENCE.finditer(text)}
    return Annotated(text, tuple(Mark(start, end, UNKNOWN) for start, end in sorted(doubted)), pack)


# Packs in which names have a capital, and how their rows are read.
_CASED: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
    "sgd/dev": lambda row: (turn[1] for turn in row["turns"]),
    "gsm8k/train": lambda row: (row["question"], row["answer"]),
    "routellm/mmlu": lambda row: (row["prompt"],),
    "tldr/pages": lambda row: (row["description"],),
}
_WORD = re.compile(r"(?<![^\W_])([^\W\d_]+)(?![^\W_])")


def count_plain(packs: Path, names: set[str], always: set[str]) -> dict[str, int]:
    """Return the words that texts with capitals write without: 1 for no name in lower case, plus 2 with a capital.

    A name is hardly ever written small in such texts, so no label is needed. With a capital a word is
    plain only when it has none inside sentences and is not in *names*. Words of *always* are plain in any case.
    """
    small: Counter[str] = Counter()
    large: Counter[str] = Counter()
    for pack, read in _CASED.items():
        for row in read_rows(packs / f"{pack}.jsonl.gz"):
            for text in read(row):
                small.update(word for word in _WORD.findall(text) if word.islower())
                large.update(match[0].lower() for match in _INSIDE_SENTENCE.finditer(text))
    plain = {word for word, count in small.items() if count >= 4 and count >= 5 * large[word]}
    sure = {word for word in plain if small[word] >= 20 and 50 * large[word] <= small[word] and word not in names}
    return {word: 3 if word in sure | always else 1 for word in sorted(plain | always)}
