"""A workspace in which everything happened once: answers, judgements, a dataset, an adapter, failures."""

import dataclasses
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cortex_cli.curate.engine import Records, curate
from cortex_cli.curate.spec import CurateSpec, Split
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin, feedback_id, interaction_id
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Model, Variant, adapter_id
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
from cortex_cli.store.workspace import Workspace, open_key

PROMPT = '+++\nsummary = "An utterance in, a tool call out"\n[variables]\nutterance = "str"\n+++\n{{ utterance }}\n'
LESSONS = {
    "set_timer": ("set a timer for ten minutes", "start a timer for one hour"),
    "set_alarm": ("wake me up at seven", "set an alarm for six", "alarm at noon please", "wake us at nine"),
    "play_music": ("play some jazz", "put on the beatles", "i want to hear mozart", "play a waltz"),
}
FAILURES = ("set a timer for two minutes", "timer for the eggs", "start the kitchen timer")


def call(tool: str) -> str:
    return json.dumps({"tool": tool})


def answered(request: str, output: str, variant: str, *, day: int = 1, agent: str = "dispatch") -> Interaction:
    draft = Interaction(
        id="",
        agent=agent,
        time=f"2026-03-{day:02}T10:00:00Z",
        messages=(Message("user", request),),
        output=output,
        variant=variant,
        domain="home",
        origin=Origin("log"),
    )
    return msgspec.structs.replace(draft, id=interaction_id(draft))


def judged(target: Interaction, *, thumbs: bool, name: str = "anna") -> Feedback:
    draft = Feedback(id="", target=target.id, kind="boolean", time=target.time, thumbs=thumbs, name=name)
    return msgspec.structs.replace(draft, id=feedback_id(draft))


def corrected(target: Interaction, demonstration: str) -> Feedback:
    draft = Feedback(
        id="",
        target=target.id,
        kind="demonstration",
        time=target.time,
        demonstration=demonstration,
        annotator="replayed",
    )
    return msgspec.structs.replace(draft, id=feedback_id(draft))


@dataclass(frozen=True)
class Scene:
    """The workspace and the names of what is in it."""

    place: Place
    base: Variant
    tuned: Variant
    adapter: Adapter
    dataset: DatasetVersion
    lessons: tuple[Interaction, ...]
    failures: tuple[Interaction, ...]

    @property
    def root(self) -> Path:
        """The folder of the workspace."""
        return self.place.workspace.root

    def journal(self) -> Journal:
        """Open the journal."""
        return Journal(self.place.workspace.journal_path)

    def append(self, *records: Interaction | Feedback) -> None:
        """Keep more records in the journal."""
        with self.journal() as journal:
            journal.append(records)


def open_scene(root: Path, adapter_files: Iterable[Path] = ()) -> Scene:
    """Make the workspace at *root* with an agent, ten judged answers, a dataset, an adapter and three failures."""
    place = _start(root)
    base = make_variant(place.registry.snapshot(), agent="dispatch", model="tiny")
    add_variant(place.registry, base)
    promote(place.registry, "dispatch", base.id)
    lessons = tuple(answered(request, call(tool), base.id) for tool, asked in LESSONS.items() for request in asked)
    with Journal(place.workspace.journal_path) as journal:
        journal.append([*lessons, *(judged(lesson, thumbs=True) for lesson in lessons)])
        dataset = _curate(place, journal)
    adapter = _add_adapter(place, dataset, adapter_files)
    tuned = make_variant(place.registry.snapshot(), agent="dispatch", model="tiny", adapter=adapter.id)
    add_variant(place.registry, tuned)
    promote(place.registry, "dispatch", tuned.id)
    failures = tuple(
        answered(request, call("set_alarm"), tuned.id, day=number + 2) for number, request in enumerate(FAILURES)
    )
    scene = Scene(place, base, tuned, adapter, dataset, lessons, failures)
    scene.append(*failures, *(corrected(failure, call("set_timer")) for failure in failures))
    return scene


def copy_scene(scene: Scene, root: Path) -> Scene:
    """Copy *scene* to *root*: making one takes forty git processes, copying one takes none."""
    shutil.copytree(scene.root, root, symlinks=True)
    return dataclasses.replace(scene, place=_open_place(root, scene.place.starter))


def _start(root: Path) -> Place:
    starter = root.parent / f"{root.name}-starter"
    for folder in ("recipes", "prompts/dispatch", "datasets", "registry"):
        (starter / folder).mkdir(parents=True)
    (starter / "prompts/dispatch/main.md").write_text(PROMPT, encoding="utf-8")
    start_workspace(root, name="scene", starter=starter)
    place = _open_place(root, starter)
    add_agent(place.registry, Agent(agent="dispatch", judge="json"))
    add_model(place.registry, Model(name="tiny", kind="local", source="base"))
    return place


def _open_place(root: Path, starter: Path) -> Place:
    workspace = Workspace(root)
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    return Place(workspace, Registry(workspace), ObjectStore(workspace.objects_root), starter, lambda: moment)


def _curate(place: Place, journal: Journal) -> DatasetVersion:
    records = Records(journal.bodies(), journal.feedback())
    spec = CurateSpec(agent="dispatch", split=Split(1.0, 0.0, 0.0))
    made = curate(records, spec, store=place.objects, key=open_key(place.workspace)).version
    dataset = msgspec.structs.replace(made, version="v0001", recipe="dispatch", created=place.time())
    add_dataset(place.registry, dataset)
    return dataset


def _add_adapter(place: Place, dataset: DatasetVersion, files: Iterable[Path]) -> Adapter:
    blobs = tuple(place.objects.put_file(path) for path in files)
    adapter = Adapter(
        id=adapter_id("dispatch", blobs),
        name="dispatch",
        agent="dispatch",
        base="tiny",
        base_digest="",
        files=blobs,
        dataset=f"{dataset.name}/{dataset.version}",
        dataset_digest=dataset.digest,
        recipe="dispatch",
        recipe_digest="sha256:" + "0" * 64,
        examples=dataset.parts["train"].rows,
    )
    add_adapter(place.registry, adapter)
    return adapter
