"""Near-duplicates among 50,000 documents of about 500 characters, against datasketch and rensa in the same run.

Every tenth document is a copy of another one with 1 to 4 of its about 85 words replaced by others. A near-duplicate is, as
`dedup/v1` has it, a pair whose three-word shingles share a Jaccard index of at least 0.8, by brute force over the planted
pairs; every pair that is found is checked the same way. Peers get the same shingles; datasketch looks for 0.7, as
at 0.8 it misses half. The first figures of a peer are its own pairs: it does not check them.
"""

import gzip
import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Report, at_least, at_most, tell
from cortex_cli.curate.duplicates import Turn, find_near, make_comparer
from cortex_cli.curate.normal import normalise
from cortex_cli.curate.sketches import jaccard, shingle, sketch_texts
from cortex_cli.store.starter import starter_root

COUNT = 50_000
WORDS = 85
BATCH = 512
SIMILARITY = 0.8

Pair = tuple[int, int]
Find = Callable[[list[str]], set[Pair]]


def main() -> None:
    """Print one JSON line and a table."""
    documents, planted = make_documents(random.Random(0))
    sets = [shingle(normalise(text)) for text in documents]
    near = {pair for pair in planted if jaccard(sets[pair[0]], sets[pair[1]]) >= SIMILARITY}
    finders: dict[str, Find] = {
        "cortex": partial(find_ours, similarity=SIMILARITY),
        "cortex at 0.7": partial(find_ours, similarity=0.7),
        "rensa": find_by_rensa,
        "datasketch": find_by_datasketch,
    }
    runs = [measure(name, find, documents, sets, near) | recall_of(planted, name) for name, find in finders.items()]
    tell("duplicates", Report(bars(runs, len(near)), runs))


def bars(runs: list[dict[str, Any]], count: int) -> list[Any]:
    """Return what the runs must reach."""
    ours, wider, rensa, datasketch = runs
    peer = "datasketch {:,.0f}, rensa {:,.0f} docs/s"
    return [
        at_least("recall of near-duplicates", ours["recall"], "", 0.96, f"{count:,} planted pairs with J >= 0.8"),
        at_most("false pairs", ours["false"], "", 0, "every pair checked by brute force"),
        at_least(
            "at 0.7: recall of all planted copies",
            wider["recall_of_all_planted"],
            "",
            datasketch["recall_of_all_planted"],
            f"datasketch; rensa {rensa['recall_of_all_planted']:.3f}",
        ),
        at_least(
            "CPU time against datasketch",
            datasketch["cpu_s"] / ours["cpu_s"],
            "times as fast",
            1.0,
            peer.format(datasketch["docs_per_cpu_s"], rensa["docs_per_cpu_s"]),
        ),
        at_least(
            "wall time against datasketch",
            datasketch["wall_s"] / ours["wall_s"],
            "times as fast",
            1.0,
            peer.format(datasketch["docs_per_s"], rensa["docs_per_s"]),
        ),
    ]


def make_documents(chance: random.Random) -> tuple[list[str], set[Pair]]:
    """Return the documents and the planted pairs."""
    with gzip.open(starter_root() / "datasets" / "texts" / "gsm8k" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        words = [word for line in file for word in json.loads(line)["question"].split()]
    originals = [" ".join(chance.choice(words) for _ in range(WORDS)) for _ in range(COUNT - COUNT // 10)]
    sources = chance.sample(range(len(originals)), COUNT // 10)
    copies = [replace_words(originals[source], words, chance) for source in sources]
    order = list(range(COUNT))
    chance.shuffle(order)
    documents = [""] * COUNT
    for place, text in zip(order, originals + copies, strict=True):
        documents[place] = text
    pairs = {(order[source], order[len(originals) + copy]) for copy, source in enumerate(sources)}
    return documents, {(min(pair), max(pair)) for pair in pairs}


def replace_words(text: str, words: list[str], chance: random.Random) -> str:
    """Return *text* with one to four words replaced by others."""
    found = text.split(" ")
    for at in chance.sample(range(len(found)), chance.randint(1, 4)):
        found[at] = chance.choice(words)
    return " ".join(found)


_FOUND: dict[str, set[Pair]] = {}


def measure(
    name: str,
    find: Find,
    documents: list[str],
    sets: list[Any],
    near: set[Pair],
) -> dict[str, Any]:
    """Run *find* over *documents* and compare what it found with what is there."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = find(documents)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    _FOUND[name] = found
    return {
        "name": name,
        "cpu_s": round(cpu, 2),
        "wall_s": round(wall, 2),
        "docs_per_cpu_s": round(len(documents) / cpu),
        "docs_per_s": round(len(documents) / wall),
        "pairs": len(found),
        "recall": len(found & near) / len(near),
        "false": sum(jaccard(sets[one], sets[other]) < SIMILARITY for one, other in found),
    }


def recall_of(planted: set[Pair], name: str) -> dict[str, float]:
    """Return the recall over all planted pairs, also those below the index that `dedup/v1` asks for."""
    return {"recall_of_all_planted": len(_FOUND[name] & planted) / len(planted)}


def find_ours(documents: list[str], *, similarity: float) -> set[Pair]:
    """Find pairs as a curation does, in one process."""
    texts = [normalise(text) for text in documents]
    count = len(texts)
    examples = {
        "bands": np.concatenate([sketch_texts(texts[at : at + BATCH]) for at in range(0, count, BATCH)]),
        "flags": np.zeros(count, np.uint8),
        "answer": np.zeros(count, np.uint64),
        "context": np.zeros(count, np.uint64),
    }
    compare = make_comparer(similarity)

    def decide(pairs: Any) -> Any:
        turns = [(Turn(texts[one], ""), Turn(texts[other], "")) for one, other in pairs.tolist()]
        return np.array(compare(turns), np.bool_)

    _, near = find_near(examples, np.arange(count), decide)
    return {(one, other) for one, other in near.tolist()}


def find_by_rensa(documents: list[str]) -> set[Pair]:
    """Find pairs with rensa's R-MinHash of 128 bins and its index of 16 bands."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=0.7, num_perm=128, num_bands=16)
    found: set[Pair] = set()
    for number, document in enumerate(documents):
        sketch = RMinHash(num_perm=128, seed=42)
        sketch.update(grams(document))
        found |= {(other, number) for other in index.query(sketch)}
        index.insert(number, sketch)
    return found


def find_by_datasketch(documents: list[str]) -> set[Pair]:
    """Find pairs with datasketch's bulk MinHash of 128 permutations and its index for 0.7."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.7, num_perm=128)
    found: set[Pair] = set()
    for start in range(0, len(documents), BATCH):
        encoded = [[gram.encode() for gram in grams(text)] for text in documents[start : start + BATCH]]
        for number, sketch in enumerate(MinHash.bulk(encoded, num_perm=128), start):
            found |= {(other, number) for other in index.query(sketch)}
            index.insert(number, sketch, check_duplication=False)
    return found


def grams(text: str) -> list[str]:
    """Return every three words in a row."""
    words = normalise(text).split(" ")
    return [" ".join(each) for each in zip(words, words[1:], words[2:], strict=False)]


if __name__ == "__main__":
    main()
