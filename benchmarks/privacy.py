"""Privacy: how much of what is personal gets masked, how much of what is clean stays, and how fast.

Five folds of the marked texts, apart by template: the tagger is trained five times without the templates of its
test. Texts of the second pack that share a template with the test, or most of its words, are left out, and so are
a fifth of the clean texts. The shipped weights are measured on speed and on clean texts.
"""

import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.__main__ import find_result
from benchmarks.measure import Bar, Report, Timing, at_least, at_most, median, tell, time_call
from cortex_cli.collect.patterns import RuleBook
from cortex_cli.collect.personal import PERSONAL
from cortex_cli.collect.redact import Redactor, default_names
from cortex_cli.collect.secrets import SECRETS
from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.pipeline.recipes import load_recipe
from cortex_cli.store.starter import starter_root
from cortex_cli.store.workers import collect_garbage_seldom
from cortex_cli.train.annotated import Annotated
from cortex_cli.train.corpus import Corpus, make_texts, read_corpus
from cortex_cli.train.spec import TaggerSpec
from cortex_cli.train.texts import read_rows

FOLDS = 5
# Of each clean pack, in each fold and with the shipped weights.
CLEAN = 400
KEY = b"k" * 32
ROOT = starter_root()
PACKS = ROOT / "datasets" / "texts"
_TAG = re.compile(r"<[A-Z_]+_[a-p]{10}>")


class Span(NamedTuple):
    """A part of a text that is personal: its type in the words of the pack, and whether its value was trained on."""

    start: int
    end: int
    kind: str
    value: str


class Text(NamedTuple):
    """A text of the pack that is measured: what is in it, and the fold it is tested in."""

    text: str
    spans: tuple[Span, ...]
    fold: int


def main() -> None:
    """Print one JSON line and a table; with the word `speed`, what masking takes alone."""
    if sys.argv[1:] == ["speed"]:
        report = Report()
        add_speed(report)
        tell("privacy", report)
    else:
        tell("privacy", measure())


def measure() -> Report:
    """Run all parts; about five minutes of one processor."""
    report = Report()
    spec = read_spec()
    add_folds(report, spec)
    add_clean(report, spec)
    add_speed_alone(report)
    return report


def add_speed_alone(report: Report) -> None:
    """Measure masking in a process set up like those of `cortex`: a second thread of BLAS doubles what it costs."""
    command = [sys.executable, "-m", "benchmarks.privacy", "speed"]
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    found = find_result(done.stdout)
    if found is None:
        raise RuntimeError("measuring masking alone gave no result")
    report.bars += msgspec.convert(found["bars"], list[Bar])
    report.runs += found["runs"]


def read_spec() -> TaggerSpec:
    """Return the recipe of the shipped weights."""
    spec = load_recipe(ROOT / "recipes" / "names.toml").tagger
    if spec is None:
        raise RuntimeError("recipes/names.toml has no [tagger] table")
    return spec


def add_folds(report: Report, spec: TaggerSpec) -> None:
    """Full-span recall by type, on values never seen, and clean texts touched, over all folds."""
    corpus = read_corpus(spec, PACKS)
    texts = read_texts(PACKS / f"{spec.marked[0]}.jsonl.gz")
    full: dict[str, list[bool]] = defaultdict(list)
    touched: dict[str, list[bool]] = defaultdict(list)
    for fold in range(FOLDS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fold.safetensors"
            train = without_fold(corpus, texts, fold)
            fit_fold(train, spec, path)
            redactor = Redactor(KEY, names=path)
            known = {mark_value(text, mark.start, mark.end) for text in train.marked for mark in text.marks}
            measure_spans(redactor, [text for text in texts if text.fold == fold], known, full)
            measure_touched(redactor, (item for item in corpus.clean if fold_of(item[1]) == fold), touched)
    add_recall(report, full, touched)


def read_texts(path: Path) -> list[Text]:
    """Read the marked texts of *path* with the pack's own types."""
    return [
        Text(
            row["full_text"],
            tuple(
                Span(span["start_position"], span["end_position"], span["entity_type"], span["entity_value"])
                for span in row["spans"]
            ),
            fold_of(str(row["template_id"])),
        )
        for row in read_rows(path)
    ]


def fold_of(name: str) -> int:
    """Return the fold of *name*, the same on every machine."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % FOLDS


def without_fold(corpus: Corpus, texts: Sequence[Text], fold: int) -> Corpus:
    """Return *corpus* without what *fold* tests: its texts, all that is like their templates, its clean texts."""
    tested = {text.text for text in texts if text.fold == fold}
    templates = {text.template for text in corpus.marked if text.text in tested}
    marked = [text for text in corpus.marked if not any(is_like(text.template, other) for other in templates)]
    return corpus._replace(marked=marked, clean=[item for item in corpus.clean if fold_of(item[1]) != fold])


def is_like(one: str, other: str) -> bool:
    """Say whether two templates are the same but for slots and spaces, or share most of their words."""
    if one == other:
        return True
    left, right = (set(re.findall(r"[a-z]+", text)) for text in (one, other))
    return len(left & right) >= 0.6 * max(len(left | right), 1)


def fit_fold(corpus: Corpus, spec: TaggerSpec, path: Path) -> None:
    """Train on *corpus* as the recipe says, and write the weights to *path*."""
    from cortex_cli.train.tagger import fit_tagger, write_tagger

    texts = make_texts(corpus, spec, RuleBook(SECRETS + PERSONAL).find)
    write_tagger(path, fit_tagger(texts, corpus.plain, spec), spec.limits)


def mark_value(text: Annotated, start: int, end: int) -> str:
    """Return the marked value in lower case."""
    return text.text[start:end].lower()


def measure_spans(redactor: Redactor, texts: Sequence[Text], known: set[str], full: dict[str, list[bool]]) -> None:
    """Add for each span of *texts* whether none of its letters and digits is left, by type and over all."""
    for text, masked in zip(texts, redactor.redact_texts([text.text for text in texts]), strict=True):
        hidden = find_hidden(text.text, masked)
        for span in text.spans:
            done = all(hidden[place] for place in range(span.start, span.end) if text.text[place].isalnum())
            full[span.kind].append(done)
            full["all"].append(done)
            if span.value.lower() not in known:
                full["never seen"].append(done)


def find_hidden(text: str, masked: str) -> list[bool]:
    """Return for each character of *text* whether a placeholder stands for it in *masked*.

    What stands between two placeholders stands in the text too, so it is looked for in order.
    """
    hidden = [True] * len(text)
    place = 0
    kept = _TAG.split(masked)
    for number, part in enumerate(kept):
        last = number == len(kept) - 1
        start = (len(text) - len(part)) if last else text.index(part, place + (number > 0))
        hidden[start : start + len(part)] = [False] * len(part)
        place = start + len(part)
    return hidden


def measure_touched(
    redactor: Redactor, clean: Iterable[tuple[str, str]], touched: dict[str, list[bool]], most: int = CLEAN
) -> None:
    """Add for each clean text whether anything of it was masked, by pack and field."""
    chosen: dict[str, list[str]] = defaultdict(list)
    for name, text in clean:
        if len(chosen[name]) < most:
            chosen[name].append(text)
    for name, texts in chosen.items():
        masked = redactor.redact_texts(texts)
        touched[name] += [one != other for one, other in zip(texts, masked, strict=True)]


def share(found: Sequence[bool]) -> float:
    """Return the share of what holds, in per cent."""
    return 100 * sum(found) / max(len(found), 1)


def add_recall(report: Report, full: dict[str, list[bool]], touched: dict[str, list[bool]]) -> None:
    """Add bars for recall and for the two clean packs that have one, and every figure as a run."""
    peer = "own rules without a tagger 12.3 to 21.3 %, linear tagger 87.5 % (design study)"
    report.bars.append(at_least("spans fully masked, unseen templates", share(full["all"]), "%", 88.0, peer))
    report.bars.append(at_least("the same, values never seen", share(full["never seen"]), "%", 85.0, "own floor"))
    for name in ("banking77/train:text", "nl2bash/pairs:request"):
        bar = at_most(f"clean {name} touched, unseen", share(touched[name]), "%", 5.0, "linear tagger 2.3 to 4.9 %")
        report.bars.append(bar)
    for kind, found in sorted(full.items()):
        report.runs.append({"name": "recall", "kind": kind, "spans": len(found), "full": round(share(found), 1)})
    for name, found in sorted(touched.items()):
        report.runs.append(
            {"name": "touched, folds", "pack": name, "texts": len(found), "share": round(share(found), 1)}
        )


def add_clean(report: Report, spec: TaggerSpec) -> None:
    """What the shipped weights touch of clean texts, by policy."""
    clean = read_corpus(spec, PACKS).clean
    for policy in ("standard", "strict"):
        touched: dict[str, list[bool]] = defaultdict(list)
        measure_touched(Redactor(KEY, policy), clean, touched, 2000)
        for name, found in sorted(touched.items()):
            run = {"name": f"touched, shipped, {policy}", "pack": name, "texts": len(found)}
            report.runs.append({**run, "share": round(share(found), 1)})
    book = RuleBook(SECRETS)
    hits = Counter(name for name, text in clean if book.find(text))
    report.runs.append({"name": "secrets in clean texts", "texts": len(clean), "hits": dict(sorted(hits.items()))})


def add_speed(report: Report) -> None:
    """Records of about 1 KB through `redact_batch`, rules for secrets alone, and the first text of a process."""
    collect_garbage_seldom()  # as the processes that redact do
    for name, records, limit in (("requests", read_requests(), 150.0), ("sums, with names", read_sums(), 350.0)):
        size = sum(len(record.messages[0].content) + len(record.output) for record in records) / len(records)
        half = len(records) // 2
        each = median([time_second_half(records, half) for _ in range(3)]) / (len(records) - half) * 1e6
        report.bars.append(at_most(f"one record of {size:.0f} characters, {name}", each, "us", limit, "CPU, standard"))
    texts = [text for record in read_sums() for text in (record.messages[0].content, record.output)]
    book = RuleBook(SECRETS)
    timings = [time_call(lambda: [book.find(text) for text in texts]) for _ in range(3)]
    rate = len(texts) / median(timings)
    report.bars.append(at_least("secrets alone", rate, "documents/CPU-s", 5000.0, "gitleaks' rules in Python 7,000"))
    begun = time.process_time()
    Redactor(KEY).redact_text("Anna")
    start = 1e3 * (time.process_time() - begun)
    report.bars.append(at_most("open the weights", start, "ms", 60.0, "CPU, once per process"))
    report.runs.append({"name": "weights", "bytes": default_names().stat().st_size})


def time_second_half(records: Sequence[Interaction], half: int) -> Timing:
    """Time `collect`'s batches of the records after the first *half*, whose words are known by then, no text is."""
    redactor = Redactor(KEY)
    redact_all(redactor, records[:half])
    return time_call(partial(redact_all, redactor, records[half:]))


def redact_all(redactor: Redactor, records: Sequence[Interaction]) -> None:
    """Mask *records* in batches."""
    for first in range(0, len(records), 500):
        redactor.redact_batch(records[first : first + 500])


def read_requests() -> list[Interaction]:
    """Return records made of requests to a bank and a shell."""
    rows = [row["text"] for row in read_rows(PACKS / "banking77" / "train.jsonl.gz")]
    rows += [f"{row['request']}\n{row['command']}" for row in read_rows(PACKS / "nl2bash" / "pairs.jsonl.gz")]
    random.Random(0).shuffle(rows)
    return [make_record(number, rows[number : number + 12]) for number in range(0, len(rows) - 12, 12)]


def read_sums() -> list[Interaction]:
    """Return records made of sums in words, with people in them."""
    rows = [f"{row['question']}\n{row['answer']}" for row in read_rows(PACKS / "gsm8k" / "train.jsonl.gz")]
    return [make_record(number, rows[number : number + 2]) for number in range(0, 4000, 2)]


def make_record(number: int, texts: Sequence[str]) -> Interaction:
    """Return one interaction of *texts*."""
    half = len(texts) // 2
    messages = (Message("user", "\n".join(texts[:half])),)
    return Interaction(id=f"i-{number}", agent="a", time="", messages=messages, output="\n".join(texts[half:]))


if __name__ == "__main__":
    main()
