"""Collecting: durable interactions of about 1 KB per second, and what a second look at known files costs.

The texts are dialogues of `sgd` and problems of `gsm8k` with their solutions, none twice. The floor is a loop that
decodes each line with msgspec and inserts it into SQLite with the journal's pragmas: no redaction, no format, no report. A
number on the command line is the size of the known files, 1,000,000 when there is none.
"""

import gzip
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import Bar, Report, Timing, at_least, at_most, median, tell, time_call, time_process
from cortex_cli.collect.reading import read_records
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Interaction, Message, interaction_id
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.starter import starter_root

RECORDS = 25_000
KNOWN = 1_000_000
FILES = 50
ROUNDS = 3
LENGTH = 480
SYSTEM = "You are a helpful assistant. Answer briefly, ask when something is missing, and never make up a fact."
BATCH = 2000


def main() -> None:
    """Print one JSON line and a table."""
    known = next((int(word) for word in sys.argv[1:] if word.isdigit()), KNOWN)
    tell("collect", measure(known))


def measure(known: int = KNOWN) -> Report:
    """Measure everything, with *known* records in the files that are read again."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        log = root / "log.jsonl"
        size = write_log(log, RECORDS)
        log.with_name("log.jsonl.gz").write_bytes(gzip.compress(log.read_bytes(), 6))
        rates, runs = measure_rates(root, log, size)
        parsing, told = measure_parsing(log)
        again = measure_again(root, known)
    return Report([*rates, *parsing, again], [*runs, told])


def measure_rates(root: Path, log: Path, size: int) -> tuple[list[Bar], list[dict[str, Any]]]:
    """Collect *log*, plain and packed, into fresh workspaces, and insert it barely, in interleaved rounds."""
    packed = log.with_name("log.jsonl.gz")
    ways: dict[str, Callable[[Path], Timing]] = {
        "collect, standard": lambda place: collect(place, log),
        "collect, gzip, standard": lambda place: collect(place, packed),
        "collect, off": lambda place: collect(place, log, {"CORTEX_REDACTION": "off"}),
        "msgspec and SQLite": lambda place: insert_barely(place, log),
    }
    found: dict[str, list[Timing]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name, way in ways.items():
            found[name].append(way(root / f"{number}-{name.replace(', ', '-').replace(' ', '-')}"))
    runs = [
        {
            "what": name,
            "wall_s": round(median(each, "wall"), 3),
            "cpu_s": round(median(each), 3),
            "records_per_s": round(RECORDS / median(each, "wall")),
            "bytes_per_record": round(size / RECORDS),
            "load": os.getloadavg()[0],
        }
        for name, each in found.items()
    ]
    rate = {name: RECORDS / median(each, "wall") for name, each in found.items()}
    floor = f"bare msgspec and SQLite {rate['msgspec and SQLite']:,.0f}/s"
    off = f"without redaction {rate['collect, off']:,.0f}/s"
    bars = [
        at_least("durable interactions, nothing masked", rate["collect, off"], "/s", 8000, floor),
        at_least("durable interactions, masked", rate["collect, standard"], "/s", 8000, f"{floor}; {off}"),
        at_least("the same from gzip, masked", rate["collect, gzip, standard"], "/s", 8000, floor),
    ]
    return bars, runs


def measure_parsing(log: Path) -> tuple[list[Bar], dict[str, Any]]:
    """Read *log* as collecting does and with msgspec alone, each line validated into its type by both."""
    source = open_source(log)
    ours, alone = [], []
    for _ in range(ROUNDS):
        ours.append(time_call(lambda: sum(1 for _ in read_records(source))))
        alone.append(time_call(lambda: decode_barely(log)))
    ratio = median(ours) / median(alone)
    told = {"what": "parse and validate", "ours_us": us(median(ours)), "msgspec_us": us(median(alone))}
    peer = f"msgspec {us(median(alone))} us, ours {us(median(ours))} us a record"
    return [at_most("parse and validate, CPU", ratio, "x msgspec", 3, peer)], told


def measure_again(root: Path, known: int) -> Bar:
    """Collect files with *known* records, then once more: a whole process, start included."""
    logs = root / "logs"
    logs.mkdir()
    lines = cycle(log_lines())
    for number in range(FILES):
        with (logs / f"{number}.jsonl").open("wb") as stream:
            # The ids make them different records; their texts may come again.
            for count, line in enumerate(islice(lines, known // FILES)):
                stream.write(b'{"id":"i-%d-%d",' % (number, count) + line[line.index(b",") + 1 :])
    place = root / "again"
    collect(place, logs, {"CORTEX_REDACTION": "off"})
    again = median([collect(place, logs, {"CORTEX_REDACTION": "off"}) for _ in range(5)], "wall")
    return at_most("again with nothing new", again, "s", 2, f"{known // FILES * FILES:,} records in {FILES} files")


def collect(place: Path, source: Path, environ: dict[str, str] | None = None) -> Timing:
    """Return what `cortex collect` takes, children included; the workspace is made before the clock starts."""
    if not place.exists():
        start_workspace(place, name="bench")
    command = [sys.executable, "-m", "cortex_cli", "-C", str(place), "collect", str(source), "--quiet"]
    return time_process(command, env={**os.environ, **(environ or {})})


def insert_barely(place: Path, log: Path) -> Timing:
    """Return what decoding and inserting takes with nothing around it."""
    place.mkdir()

    def insert() -> None:
        decode = msgspec.json.Decoder(Interaction).decode
        connection = sqlite3.connect(place / "floor.db")
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE events "
                                 "(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL);")  # fmt: skip
        with log.open("rb") as stream:
            while rows := [(decode(line).id, line) for line in islice(stream, BATCH)]:
                with connection:
                    connection.executemany("INSERT INTO events (id, body) VALUES (?, ?)", rows)
        connection.close()

    return time_call(insert)


def decode_barely(log: Path) -> int:
    """Decode every line of *log* into its type, and return how many there are."""
    decode = msgspec.json.Decoder(Interaction).decode
    with log.open("rb") as stream:
        return sum(1 for line in stream if decode(line).id)


def write_log(path: Path, count: int) -> int:
    """Write *count* different interactions to *path* and return its size."""
    with path.open("wb") as stream:
        written = sum(1 for line in islice(log_lines(), count) if stream.write(line))
    if written != count:
        raise RuntimeError(f"the texts make {written} records, not {count}")
    return path.stat().st_size


def log_lines() -> Iterator[bytes]:
    """Yield interactions in Cortex's own format, of about a kilobyte each."""
    chance = random.Random(3)
    for number, (messages, output) in enumerate(conversations()):
        record = Interaction(
            id="",
            agent="dispatch",
            time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_225_600 + 7 * number)),
            messages=(Message("system", SYSTEM), *messages),
            output=output,
            episode=f"s-{number // 3}",
            latency=round(chance.uniform(0.3, 9.0), 3),
            tokens_in=chance.randrange(80, 400),
            tokens_out=chance.randrange(5, 200),
            aliases=(f"chatcmpl-{number:012x}",),
        )
        yield msgspec.json.encode(msgspec.structs.replace(record, id=interaction_id(record))) + b"\n"


def conversations() -> Iterator[tuple[tuple[Message, ...], str]]:
    """Yield what was asked and answered: windows of dialogues, then problems."""
    for name in ("sgd/train", "sgd/dev"):
        for dialogue in read_pack(name):
            yield from windows([(str(who), str(text)) for who, text, *_ in dialogue["turns"]])
    for problem in read_pack("gsm8k/train"):
        yield (Message("user", problem["question"]),), problem["answer"]


def windows(turns: list[tuple[str, str]]) -> Iterator[tuple[tuple[Message, ...], str]]:
    """Cut a dialogue into parts of about the wanted length, each of which ends with an answer."""
    part: list[Message] = []
    for who, text in turns:
        if who == "user" or sum(len(message.content) for message in part) + len(text) < LENGTH:
            part.append(Message("user" if who == "user" else "assistant", text))
            continue
        yield tuple(part), text
        part = []


def read_pack(name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a text pack."""
    with gzip.open(starter_root() / "datasets" / "texts" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def us(seconds: float) -> float:
    """Return *seconds* for all records as microseconds for one."""
    return round(seconds / RECORDS * 1e6, 2)


if __name__ == "__main__":
    main()
