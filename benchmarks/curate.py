"""Curation from 10,000 to 1,000,000 interactions of about 1 KB: rate, memory of all its processes, and doing nothing.

The texts are passages of the starter packs, put together at random; one in ten is a near-copy of another one, with one to
three words replaced, one in twenty an exact copy. They are in the journal before the clock starts. Numbers on the
command line are other sizes; the word `redact` leaves the records unmasked, so that curation masks them all.
"""

import gzip
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Bar, Report, at_least, at_most, tell
from cortex_cli.collect.redact import current_stamp
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin, Scale
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.rows import batch_rows
from cortex_cli.store.starter import starter_root
from cortex_cli.store.workspace import Workspace

SIZES = (10_000, 100_000, 1_000_000)
RECIPE = """summary = "What the benchmark curates"

[curate]
agent = "dispatch"
dataset = "bench"

[curate.balance]
max_share = 0.3
"""
SYSTEM = "You are a careful assistant. Answer in one paragraph, say what you assume, and keep to the facts given."


def main() -> None:
    """Print one JSON line and a table."""
    sizes = tuple(int(word) for word in sys.argv[1:] if word.isdigit()) or SIZES
    redact = "redact" in sys.argv[1:]
    passages = read_passages()
    runs = [run_size(size, passages, redact=redact) for size in sizes]
    tell("curate", Report(bars(runs, redact=redact), runs))


def bars(runs: list[dict[str, Any]], *, redact: bool) -> list[Bar]:
    """Return what the runs must reach."""
    least = 3_000 if redact else 5_000
    what = "redaction of everything included" if redact else "redacted before"
    largest = runs[-1]
    slowest, before = largest["rate"], min([run["rate"] for run in runs[:-1]], default=largest["rate"])
    return [
        at_least(f"{largest['size']:,} interactions", slowest, "/s", least, what),
        at_most("peak memory of all processes", max(run["peak_mb"] for run in runs), "MB", 1024, "sum of RSS"),
        at_least("rate of the largest over the smaller", slowest / before, "", 0.8, "linear = 1"),
        at_most("again with nothing new", max(run["again_s"] for run in runs), "s", 2, f"{largest['size']:,} rows"),
    ]


def run_size(size: int, passages: list[str], *, redact: bool) -> dict[str, Any]:
    """Fill a workspace with *size* interactions, curate it twice, and return what that took."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "work"
        start_workspace(root, name="bench")
        (root / "recipes" / "bench.toml").write_text(RECIPE, encoding="utf-8")
        with Journal(Workspace(root).journal_path) as journal:
            journal.append_rows(batch_rows(records(size, passages, "" if redact else current_stamp("standard"))))
        command = [sys.executable, "-m", "cortex_cli", "-C", str(root), "curate", "bench", "--json"]
        first, again = watch(command), watch(command)
    version = json.loads(first["out"])["data"]["version"]
    return {
        "size": size,
        "rate": round(size / first["wall"]),
        "wall_s": round(first["wall"], 2),
        "cpu_s": round(first["cpu"], 2),
        "peak_mb": round(first["peak"] / 1e6),
        "again_s": round(again["wall"], 2),
        "counts": version["counts"],
        "rejected": version["rejected"],
    }


def read_passages() -> list[str]:
    """Return passages of 100 to 600 characters from the starter packs."""
    packs = starter_root() / "datasets" / "texts"
    found: list[str] = []
    for name in ("gsm8k/train", "routellm/mmlu", "sgd/dev"):
        with gzip.open(packs / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            found += [passage(json.loads(line)) for line in file]
    return [text for text in found if 100 <= len(text) <= 600]


def passage(row: dict[str, Any]) -> str:
    """Return the text of one row of a pack."""
    if "turns" in row:
        return " ".join(turn[1] for turn in row["turns"][:4])
    return str(row.get("question") or row.get("prompt"))


def records(size: int, passages: list[str], stamp: str) -> Iterator[Interaction | Feedback]:
    """Yield *size* interactions and judgements on some of them."""
    chance = random.Random(size)
    recent: list[tuple[str, str]] = []
    for number in range(size):
        kind = chance.random()
        if recent and kind < 0.15:
            request, answer = chance.choice(recent)
            request = request if kind < 0.05 else replace_words(request, passages, chance)
        else:
            request = f"{chance.choice(passages)} {chance.choice(passages)}"
            answer = chance.choice(passages)
        recent = [*recent[-200:], (request, answer)]
        yield interaction(number, request, answer, stamp)
        if kind > 0.9:
            yield Feedback(
                id=f"f-{number:024x}",
                target=f"chatcmpl-{number}",
                kind="boolean",
                time="2026-03-01T00:00:00Z",
                thumbs=kind > 0.92,
                name="user",
                redaction=stamp,
            )


def interaction(number: int, request: str, answer: str, stamp: str) -> Interaction:
    """Return one answered request."""
    return Interaction(
        id=f"i-{number:024x}",
        agent="dispatch",
        time=f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:00Z",
        messages=(Message("system", SYSTEM), Message("user", request)),
        output=answer,
        outcome="success" if number % 10 else "failure",
        latency=1.5,
        quality=4.0 + number % 3 / 2,
        quality_scale=Scale(1.0, 5.0),
        domain=f"domain-{number % 7}",
        aliases=(f"chatcmpl-{number}",),
        redaction=stamp,
        origin=Origin("bench.jsonl", number + 1),
    )


def replace_words(text: str, passages: list[str], chance: random.Random) -> str:
    """Return *text* with one to three words replaced by others."""
    words = text.split(" ")
    for at in chance.sample(range(len(words)), chance.randint(1, 3)):
        words[at] = chance.choice(chance.choice(passages).split(" "))
    return " ".join(words)


def watch(command: list[str]) -> dict[str, Any]:
    """Run *command* and return its output, wall and CPU time, and the most memory that it and its children held."""
    with tempfile.TemporaryFile() as out:
        begun = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
        peak = [0]
        done = threading.Event()
        poller = threading.Thread(target=poll, args=(pid, peak, done))
        poller.start()
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - begun
        done.set()
        poller.join()
        if status:
            raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
        out.seek(0)
        text = out.read().decode()
    return {"out": text, "wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": peak[0]}


def poll(pid: int, peak: list[int], done: threading.Event) -> None:
    """Keep in *peak* the most bytes that *pid* and its descendants were seen to hold, shared pages counted each time."""
    page = os.sysconf("SC_PAGE_SIZE")
    while not done.wait(0.1):
        family, pages = {pid}, 0
        for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
            try:
                parent = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
                if int(folder.name) in family or parent in family:
                    family.add(int(folder.name))
                    pages += int((folder / "statm").read_text(encoding="utf-8").split()[1])
            except (OSError, IndexError):
                continue  # it ended meanwhile
        peak[0] = max(peak[0], pages * page)


if __name__ == "__main__":
    main()
