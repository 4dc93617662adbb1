"""A workspace that has learned from conversations: logs, journal, two dataset versions, an adapter, leftovers."""

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin
from cortex_cli.domain.manifests import (
    Adapter,
    Agent,
    DatasetVersion,
    Model,
    Part,
    Variant,
    adapter_id,
    dataset_digest,
)
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.actions import (
    add_adapter,
    add_agent,
    add_dataset,
    add_model,
    add_variant,
    make_variant,
    promote,
)
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace, keyed_id, open_key

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PROMPT = '+++\nsummary = "a request"\nvariables = { text = "str" }\n+++\n{{ text }}\n'
RECIPE = """summary = "dispatch"
[curate]
agent = "dispatch"
[train]
agent = "dispatch"
dataset = "dispatch"
base = "tiny"
min_examples = 10
[train.loop]
epochs = 3.0
"""


def secret(number: int) -> str:
    """The text of an answer that nothing else in the workspace holds."""
    return f"the hidden word of number {number} is zirkonium-{number * 7919}-x"


def talk(number: int, history: Sequence[Message] = (), **fields: Any) -> Interaction:
    """An answered request with an alias of its own."""
    base = Interaction(
        id=f"i-{number:024x}",
        agent="dispatch",
        time=f"2026-05-{number % 28 + 1:02}T10:00:00Z",
        messages=(*history, Message("user", f"what is the secret of entry {number}?")),
        output=secret(number),
        aliases=(f"chatcmpl-{number:08d}",),
        origin=Origin("week.jsonl", number + 1),
    )
    return msgspec.structs.replace(base, **fields)


def said(number: int, target: str, **fields: Any) -> Feedback:
    """A comment on *target* that repeats the secret."""
    base = Feedback(
        id=f"f-{number:024x}", target=target, kind="comment", time="2026-05-01T11:00:00Z", comment=secret(number)
    )
    return msgspec.structs.replace(base, **fields)


@dataclass(frozen=True)
class Memory:
    """The workspace, what it keeps, and the names of what learned from it."""

    place: Place
    records: tuple[Interaction, ...]
    versions: tuple[DatasetVersion, ...]
    adapter: Adapter
    base: Variant
    tuned: Variant

    @property
    def private(self) -> Path:
        """The folder that git does not see."""
        return self.place.workspace.private

    @property
    def key(self) -> bytes:
        """The key of the workspace."""
        return open_key(self.place.workspace)

    def journal(self) -> Journal:
        """Open the journal."""
        return Journal(self.place.workspace.journal_path, now=self.place.now)

    def keyed(self, name: str) -> str:
        """Return the name under which *name* may stand in git."""
        return keyed_id(self.key, name)


def open_place(root: Path) -> Place:
    """Open the workspace at *root* at a fixed moment."""
    workspace = Workspace(root)
    return Place(workspace, Registry(workspace), ObjectStore(workspace.objects_root), root, lambda: NOW)


def make_version(
    place: Place, parts: dict[str, list[list[Interaction]]], version: str = "v0001", parent: str = ""
) -> DatasetVersion:
    """Commit a dataset version; each example is made of the first of its interactions, the others were like it."""
    key = open_key(place.workspace)
    lines = {name: [_example(group[0], key) for group in groups] for name, groups in parts.items()}
    blobs = {name: place.objects.put_chunks([b"".join(rows)], name) for name, rows in lines.items()}
    kept = {name: Part(blob.digest, blob.size, len(lines[name])) for name, blob in blobs.items()}
    names = [" ".join(keyed_id(key, each.id) for each in group) for name in sorted(parts) for group in parts[name]]
    lineage = place.objects.put_chunks(["".join(f"{line}\n" for line in names).encode()], "lineage")
    made = DatasetVersion(
        name="dispatch",
        version=version,
        agent="dispatch",
        parts=kept,
        lineage=lineage,
        journal=(1, 1000),
        parent=parent,
        recipe="dispatch",
        digest=dataset_digest(kept, lineage),
        created=place.time(),
    )
    add_dataset(place.registry, made)
    return made


def add_trained(place: Place, version: DatasetVersion, weights: bytes = b"weights") -> Adapter:
    """Commit an adapter that was trained on *version*."""
    files = (place.objects.put_chunks([weights], "adapter_model.safetensors"),)
    adapter = Adapter(
        id=adapter_id("dispatch", files),
        name="dispatch",
        agent="dispatch",
        base="tiny",
        base_digest="",
        files=files,
        dataset=f"{version.name}/{version.version}",
        dataset_digest=version.digest,
        recipe="dispatch",
        recipe_digest="sha256:" + "0" * 64,
        examples=version.parts["train"].rows,
        run="sha256:" + "1" * 64,
    )
    add_adapter(place.registry, adapter)
    return adapter


def open_memory(root: Path) -> Memory:
    """Make a workspace whose champion learned from the even ones of twelve conversations."""
    starter = root.parent / f"{root.name}-starter"
    for name, text in {"recipes/dispatch.toml": RECIPE, "prompts/dispatch/main.md": PROMPT}.items():
        (starter / name).parent.mkdir(parents=True, exist_ok=True)
        (starter / name).write_text(text, encoding="utf-8")
    start_workspace(root, name="memory", starter=starter)
    place = open_place(root)
    add_agent(place.registry, Agent(agent="dispatch", judge="json"))
    add_model(place.registry, Model(name="tiny", kind="local", source="base"))
    base = add_variant(place.registry, make_variant(place.registry.snapshot(), agent="dispatch", model="tiny"))
    promote(place.registry, "dispatch", base.id)
    records = tuple(talk(number) for number in range(12))
    with Journal(place.workspace.journal_path, now=place.now) as journal:
        journal.append([*records, *(said(number, records[number].aliases[0]) for number in range(12))])
    even, odd = [[record] for record in records[::2]], [[record] for record in records[1::2]]
    one = make_version(place, {"test": even[:1], "train": even[1:]})
    two = make_version(place, {"test": odd[:1], "train": odd[1:]}, "v0002", "dispatch/v0001")
    adapter = add_trained(place, one)
    tuned = make_variant(place.registry.snapshot(), agent="dispatch", model="tiny", adapter=adapter.id)
    add_variant(place.registry, tuned)
    promote(place.registry, "dispatch", tuned.id)
    return Memory(place, records, (one, two), adapter, base, tuned)


def copy_memory(memory: Memory, root: Path) -> Memory:
    """Copy *memory* to *root*: making one takes thirty git processes, copying one takes none."""
    shutil.copytree(memory.place.workspace.root, root, symlinks=True)
    return dataclasses.replace(memory, place=open_place(root))


def leave_traces(memory: Memory) -> None:
    """Leave what runs and killed stages leave: logs, a training's steps, an object without a manifest, trash."""
    runs = memory.place.workspace.runs_root
    examples = [msgspec.json.decode(_example(record, memory.key))["id"] for record in memory.records]
    files = {
        runs / "demo" / "night-1.jsonl": [msgspec.json.encode(record).decode() for record in memory.records],
        runs / "train-111111111111" / "steps.jsonl": [json.dumps([1, examples[:6]])],
        runs / "train-222222222222" / "steps.jsonl": [json.dumps([1, examples[6:]])],
        memory.private / "spool" / "segment-1.jsonl": [
            msgspec.json.encode(record).decode() for record in memory.records
        ],
        memory.private / "trash" / "2026-05-01" / ("a" * 64): [_example(memory.records[0], memory.key).decode()],
    }
    for path, lines in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    memory.place.objects.put_bytes(b"".join(_example(record, memory.key) for record in memory.records))


def find_bytes(root: Path, wanted: Sequence[str]) -> list[str]:
    """List where one of *wanted* stands: files of the workspace, and git's objects as git unpacks them."""
    needles = [text.encode() for text in wanted]
    found = [
        f"{path.relative_to(root)}: {needle.decode()}"
        for path in root.rglob("*")
        if path.is_file()
        for data in [path.read_bytes()]
        for needle in needles
        if needle in data
    ]
    everything = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=root, capture_output=True, check=True
    ).stdout
    return found + [f"git: {needle.decode()}" for needle in needles if needle in everything]


def names_of(record: Interaction) -> Iterator[str]:
    """Yield what must not be found of *record*: its text, its id, its alias."""
    yield from (record.output, record.messages[-1].content, record.id, *record.aliases)


def _example(record: Interaction, key: bytes) -> bytes:
    example = Example(
        id=f"x-{record.id[2:]}",
        agent=record.agent,
        messages=record.messages,
        answer=record.output,
        source="accepted",
        time=record.time,
        interaction=keyed_id(key, record.id),
    )
    return canonical_json(example) + b"\n"
