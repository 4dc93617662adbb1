"""A workspace with dataset versions that were put together by hand, so that a test knows every example."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cortex_cli.curate.profiles import profile_examples
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin
from cortex_cli.domain.manifests import Agent, DatasetVersion, Part, dataset_digest
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.registry.actions import add_agent, add_dataset
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import Workspace, keyed_id, open_key

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DOMAINS = ("bank", "travel", "weather")


def start(root: Path) -> Place:
    """A workspace with the agent dispatch and nothing else."""
    root.parent.mkdir(parents=True, exist_ok=True)
    (root.parent / "starter").mkdir(exist_ok=True)
    start_workspace(root, name="shelf", starter=root.parent / "starter")
    place = open_place(Workspace(root), now=lambda: NOW)
    add_agent(place.registry, Agent(agent="dispatch", summary="answers"))
    return place


def ask(number: int, **fields: object) -> Interaction:
    """Interaction *number*: a request of its own, in one of three domains."""
    made = Interaction(
        id=f"i-{number:04}",
        agent="dispatch",
        time=f"2026-01-{1 + number % 28:02}T{number % 24:02}:00:00Z",
        messages=(Message("user", f"what is the answer to question number {number} please"),),
        output=f"the answer to question {number} is in the book on the shelf",
        outcome="failure" if number % 4 == 3 else "success",
        domain=DOMAINS[number % 3],
        user=f"user {number % 10}",
        latency=number / 10,
        origin=Origin("log.jsonl", number),
    )
    return msgspec.structs.replace(made, **fields)


def example_of(place: Place, interaction: Interaction, **fields: object) -> Example:
    """The example that curation makes of *interaction*."""
    made = Example(
        id=f"x-{interaction.id[2:]}",
        agent=interaction.agent,
        messages=interaction.messages,
        answer=interaction.output,
        source="accepted",
        domain=interaction.domain,
        time=interaction.time,
        interaction=keyed_id(open_key(place.workspace), interaction.id),
    )
    return msgspec.structs.replace(made, **fields)


def tell(place: Place, *records: Interaction | Feedback) -> None:
    """Append *records* to the journal."""
    with Journal(place.workspace.journal_path) as journal:
        journal.append(records)


def keep(place: Place, examples: Iterable[Example], number: int = 1, **fields: object) -> DatasetVersion:
    """Commit version *number* of dataset calls: valid holds what ends with 0, the sealed part what ends with 1."""
    rows = sorted(examples, key=lambda example: example.id)
    parts: dict[str, list[Example]] = {"test": [], "train": [], "valid": []}
    for row in rows:
        parts[{"0": "valid", "1": "test"}.get(row.id[-1], "train")].append(row)
    blobs = {name: place.objects.put_chunks(map(_line, kept), name) for name, kept in parts.items()}
    ids = [example.interaction.encode() + b"\n" for name in sorted(parts) for example in parts[name]]
    lineage = place.objects.put_chunks(ids, "lineage")
    made = {name: Part(blob.digest, blob.size, len(parts[name])) for name, blob in blobs.items()}
    version = DatasetVersion(
        name="calls",
        version=f"v{number:04}",
        agent="dispatch",
        parts=made,
        lineage=lineage,
        counts={"examples": len(rows)},
        origins={"accepted": len(rows)},
        journal=(1, 10_000),
        recipe="dispatch",
        digest=dataset_digest(made, lineage),
        created="2026-03-04T05:06:07Z",
    )
    version = msgspec.structs.replace(version, **fields)
    add_dataset(place.registry, version)
    return version


def profile_of(examples: Iterable[Example]) -> dict[str, dict[str, int]]:
    """The profile that a manifest keeps."""
    return profile_examples(examples).counts


def _line(example: Example) -> bytes:
    return canonical_json(example) + b"\n"
