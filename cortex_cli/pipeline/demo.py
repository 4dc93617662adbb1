"""The demo: the whole loop in a fresh workspace, on real data, every number measured as it runs.

Each step finds out by itself whether it was done before, so a demo that was killed goes on when it
is called again, and one that is finished repeats nothing but its measurements.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from cortex_cli.domain.digests import canonical_json, digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Generate
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Adapter, DatasetVersion, Experiment, Policy, Variant
from cortex_cli.evaluate.scores import Comparison, Scores, compare_scores, score_suite
from cortex_cli.evaluate.suites import Case, Suite, suite_of_cases
from cortex_cli.explain.explanation import Explanation
from cortex_cli.pipeline.collecting import Sources, collect_sources
from cortex_cli.pipeline.contest import Contest, run_contest
from cortex_cli.pipeline.curating import Made, curate_recipe
from cortex_cli.pipeline.evaluating import find_suite
from cortex_cli.pipeline.explaining import explain_interaction
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.pipeline.recipes import Recipe, load_recipe
from cortex_cli.pipeline.traffic import Period, Request, read_dispatch_requests, replay_requests, spread
from cortex_cli.pipeline.training import register_challenger, train_recipe
from cortex_cli.pipeline.variants import open_variant
from cortex_cli.registry.actions import rollback
from cortex_cli.registry.history import Event, read_log
from cortex_cli.registry.start import start_workspace
from cortex_cli.release.experiments import apply_verdict
from cortex_cli.store.atomic import write_atomic
from cortex_cli.store.clock import Clock, utc_now
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import Workspace
from cortex_cli.train.spec import TrainSpec

if TYPE_CHECKING:
    from cortex_cli.train.loop import Progress

__all__ = ["Demo", "Extent", "Night", "Report", "Teller", "run_demo"]

_AGENT, _OTHER, _ACTOR = "dispatch", "shell", "demo"


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How much a demo does: requests of traffic, held-out requests to evaluate and to compare, seconds to train."""

    nights: int = 1
    traffic: int = 15_000
    held_out: int = 1_200
    contest: int = 1_200
    morning: int = 400
    train_seconds: float = 110.0


class Teller(Protocol):
    """Who hears of progress: a step that begins and ends, a line within it, a line that stays."""

    def step(self, what: str) -> AbstractContextManager[None]:
        """Show *what* while the block runs."""
        ...

    def update(self, what: str) -> None:
        """Show *what* inside the running step."""
        ...


class Night(msgspec.Struct, frozen=True, kw_only=True):
    """What one night found: data in, adapter, scores of both variants, verdict, what it moved."""

    dataset: str
    examples: int
    adapter: str
    train_seconds: float
    comparison: Comparison
    experiment: str
    outcome: str
    reason: str
    promoted: bool
    champion: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo measured. *shell_right* is of the base on human-accepted commands; *cost* in US dollars."""

    root: str
    nights: tuple[Night, ...]
    judged: int
    accepted: int
    shell_examples: int
    shell_cases: int
    shell_right: float
    explanation: Explanation | None
    moves: tuple[str, ...]
    tokens: int
    cost: float
    seconds: float


@dataclass(slots=True)
class Demo:
    """The state of a running demo: the workspace, the recipe, what is loaded, what was found."""

    place: Place
    teller: Teller
    extent: Extent
    recipe: Recipe
    models: dict[str, Generate] = field(default_factory=dict)
    tokens: int = 0

    @property
    def packs(self) -> Path:
        """Return the folder of the shipped texts."""
        return self.place.starter / "datasets" / "texts"

    @property
    def train(self) -> TrainSpec:
        """Return the recipe's `[train]` table, with the time that one night may take."""
        spec = self.recipe.train
        if spec is None:
            raise UsageError(f"recipe '{_AGENT}' has no [train] table", hint=f"cortex recipe show {_AGENT}")
        seconds = self.extent.train_seconds / self.extent.nights
        return msgspec.structs.replace(spec, loop=msgspec.structs.replace(spec.loop, max_seconds=seconds))

    def champion(self) -> str:
        """Return the id of the live champion."""
        return self.place.registry.snapshot().agent(_AGENT).champion

    def model(self, variant: str) -> Generate:
        """Return the model of *variant*, loaded once."""
        if variant not in self.models:
            snapshot = self.place.registry.snapshot()
            self.models[variant] = open_variant(self.place, snapshot, snapshot.variant(variant))
        return self.models[variant]


def run_demo(root: Path, extent: Extent, teller: Teller, *, now: Clock = utc_now) -> Report:
    """Run the loop in the workspace at *root*, made if it is not there, and report what was measured."""
    begun = time.monotonic()
    with teller.step("init: a workspace with two agents, dispatch and shell"):
        start_workspace(root, name=root.name, actor=_ACTOR)
    place = open_place(Workspace(root.absolute()), actor=_ACTOR, now=now)
    _keep_extent(place, extent)
    demo = Demo(place, teller, extent, load_recipe(root / "recipes" / f"{_AGENT}.toml"))
    judged, shell = _collect_shell(demo)
    nights = tuple(_run_night(demo, number) for number in range(extent.nights))
    explanation = _explain_morning(demo)
    cases, right = _measure_shell(demo)
    moves = _show_audit(demo, nights)
    return Report(
        root=str(root),
        nights=nights,
        judged=judged,
        accepted=shell.version.origins.get("accepted", 0),
        shell_examples=sum(part.rows for part in shell.version.parts.values()),
        shell_cases=cases,
        shell_right=right,
        explanation=explanation,
        moves=moves,
        tokens=demo.tokens,
        cost=0.0,
        seconds=time.monotonic() - begun,
    )


def _keep_extent(place: Place, extent: Extent) -> None:
    """Note how much this demo does; raise `UsageError` when the workspace holds a demo of another extent."""
    path = place.workspace.runs_root / "demo" / "extent.json"
    data = canonical_json(extent)
    if path.is_file() and path.read_bytes() != data:
        raise UsageError(
            f"'{place.workspace.root}' holds a demo with other settings, whose champion would meet the wrong rival",
            hint="cortex demo --dir NEW-FOLDER",
            state="nothing was changed",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)


def _collect_shell(demo: Demo) -> tuple[int, Made]:
    with demo.teller.step("collect: answers of real systems for shell, judged by humans"):
        path = str(demo.packs / "nl2bash" / "judged.jsonl.gz")
        report = collect_sources(demo.place, Sources((path,), "nl2bash-judged", _OTHER))
    with demo.teller.step("curate: shell"):
        recipe = load_recipe(demo.place.workspace.root / "recipes" / f"{_OTHER}.toml")
        made = curate_recipe(demo.place, recipe, name=_OTHER)
    return report.interactions, made


def _run_night(demo: Demo, number: int) -> Night:
    before = _first_champion(demo) if number == 0 else demo.champion()
    _collect_traffic(demo, number, before)
    dataset = _curate(demo, number)
    adapter = _train(demo, dataset, number)
    challenger = _register(demo, adapter)
    comparison = _evaluate(demo, before, challenger.id)
    experiment = _compare(demo, before, challenger.id)
    promoted = _decide(demo, experiment)
    verdict = experiment.verdict
    return Night(
        dataset=f"{dataset.name}/{dataset.version}",
        examples=sum(part.rows for part in dataset.parts.values()),
        adapter=adapter.id,
        train_seconds=adapter.seconds,
        comparison=comparison,
        experiment=experiment.id,
        outcome=verdict.outcome if verdict else "",
        reason=verdict.reason if verdict else "",
        promoted=promoted,
        champion=demo.champion(),
    )


def _first_champion(demo: Demo) -> str:
    # The champion that the workspace began with: the one without an adapter.
    variants = demo.place.registry.snapshot().variants(_AGENT)
    return next(variant.id for variant in variants if not variant.adapter)


def _collect_traffic(demo: Demo, number: int, variant: str) -> None:
    share = demo.extent.traffic // demo.extent.nights
    requests = read_dispatch_requests(demo.packs, "train")
    requests = spread(_shuffled(requests), [share] * demo.extent.nights)[number]
    span = 7.0 / demo.extent.nights
    start = demo.place.now() - timedelta(days=7.0 - span * number)
    log = demo.place.workspace.runs_root / "demo" / f"night-{number + 1}-{len(requests)}.jsonl"
    with demo.teller.step(
        f"collect: {len(requests):,} real utterances, answered by the champion, verdicts replayed{_of(demo, number)}"
    ):
        _write_log(demo, log, requests, variant, Period(start, span))
        collect_sources(demo.place, Sources((str(log),), "cortex", _AGENT))


def _write_log(demo: Demo, log: Path, requests: list[Request], variant: str, period: Period) -> None:
    if log.is_file():
        return
    lines = replay_requests(demo.model(variant), requests, agent=_AGENT, variant=variant, judge="json", period=period)
    log.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(log, b"".join(lines))


def _curate(demo: Demo, number: int) -> DatasetVersion:
    # A night's version is its own, also when later traffic is in the journal by now.
    version = f"v{number + 1:04d}"
    with demo.teller.step(f"curate: {_AGENT}{_of(demo, number)}"):
        made = [found for found in demo.place.registry.snapshot().datasets(_AGENT) if found.version == version]
        return made[0] if made else curate_recipe(demo.place, demo.recipe, name=_AGENT).version


def _train(demo: Demo, dataset: DatasetVersion, number: int) -> Adapter:
    spec = msgspec.structs.replace(demo.train, dataset=f"{dataset.name}/{dataset.version}")
    recipe = msgspec.structs.replace(demo.recipe, train=spec)

    def watch(progress: "Progress") -> None:
        rate = progress.tokens / progress.seconds
        demo.teller.update(f"train: step {progress.step}, loss {progress.loss:.3f}, {rate:,.0f} tokens/s")

    limit = demo.train.loop.max_seconds
    with demo.teller.step(f"train: a LoRA adapter on the embedded base, at most {limit:.0f} s{_of(demo, number)}"):
        trained = train_recipe(demo.place, recipe, name=_AGENT, watch=watch)
    demo.tokens += trained.adapter.tokens
    return trained.adapter


def _register(demo: Demo, adapter: Adapter) -> Variant:
    with demo.teller.step("register: the adapter as a variant"):
        return register_challenger(demo.place, _AGENT, adapter)


def _evaluate(demo: Demo, champion: str, challenger: str) -> Comparison:
    requests = _held_out(demo)[0]
    cases = (
        Case(f"val-{n}", (_user(request),), request.reference, request.domain) for n, request in enumerate(requests)
    )
    suite = suite_of_cases("clinc150/val", cases)
    with demo.teller.step(f"evaluate: champion and challenger on {len(requests):,} held-out requests"):
        return compare_scores(*(_score(demo, variant, suite) for variant in (champion, challenger)))


def _score(demo: Demo, variant: str, suite: Suite) -> Scores:
    def watch(done: int, total: int) -> None:
        demo.teller.update(f"evaluate: {done} of {total} requests")

    scores = score_suite(demo.model(variant), suite, "json", watch=watch)
    demo.tokens += scores.tokens
    return scores


def _compare(demo: Demo, champion: str, challenger: str) -> Experiment:
    requests = _held_out(demo)[1]
    release = demo.recipe.release
    contest = Contest(
        agent=_AGENT,
        champion=champion,
        challenger=challenger,
        models={variant: demo.model(variant) for variant in (champion, challenger)},
        judge="json",
        policy=release.policy if release else Policy(),
    )
    with demo.teller.step(f"ab: paired shadow experiment on {len(requests):,} other held-out requests, replayed"):
        return run_contest(
            demo.place,
            contest,
            requests,
            watch=lambda done, total: demo.teller.update(f"ab: {done} of {total} pairs"),
        )


def _decide(demo: Demo, experiment: Experiment) -> bool:
    outcome = experiment.verdict.outcome if experiment.verdict else "hold"
    with demo.teller.step(f"decide: {outcome}"):
        if any(event.action == "promote" and event.run_id == experiment.id for event in _moves(demo)):
            return True
        return apply_verdict(demo.place.registry, experiment).action == "promoted"


def _explain_morning(demo: Demo) -> Explanation | None:
    """Let the champion answer fresh requests and explain one of its failures; None if it made none."""
    requests = _held_out(demo)[2]
    variant = demo.champion()
    log = demo.place.workspace.runs_root / "demo" / f"morning-{variant}-{len(requests)}.jsonl"
    with demo.teller.step(f"collect: the next morning, {len(requests)} requests for the champion, verdicts replayed"):
        _write_log(demo, log, requests, variant, Period(demo.place.now() - timedelta(hours=4), 0.1))
        collect_sources(demo.place, Sources((str(log),), "cortex", _AGENT))
    with demo.teller.step("explain: one failure"), Journal(demo.place.workspace.journal_path) as journal:
        failed = _find_failure(journal, variant)
        return explain_interaction(demo.place, journal, failed) if failed else None


def _find_failure(journal: Journal, variant: str) -> str:
    for _, interaction in journal.interactions(agent=_AGENT):
        if interaction.variant == variant and interaction.outcome == "failure":
            return interaction.id
    return ""


def _measure_shell(demo: Demo) -> tuple[int, float]:
    """Score the base on the human-accepted commands held out for shell; return cases and the share right."""
    snapshot = demo.place.registry.snapshot()
    suite = find_suite(demo.place, snapshot, f"{_OTHER}:test")
    with demo.teller.step(f"evaluate: the base on {len(suite.cases)} held-out shell requests"):
        variant = snapshot.agent(_OTHER).champion
        scores = score_suite(demo.model(variant), suite, "command")
    return len(suite.cases), scores.success


def _show_audit(demo: Demo, nights: tuple[Night, ...]) -> tuple[str, ...]:
    """Roll the last promotion back and repeat it, once, and return the moves of the agent, newest first."""
    registry = demo.place.registry
    last = nights[-1]
    rolled = any(event.action == "rollback" for event in _moves(demo))
    if last.promoted and not rolled:
        with demo.teller.step("rollback: back to the previous champion, by a commit forward"):
            rollback(registry, _AGENT, objects=demo.place.objects)
        with demo.teller.step("promote: the challenger again, on the same evidence"):
            apply_verdict(registry, registry.snapshot().experiment(last.experiment))
    return tuple(f"{event.commit[:10]}  {event.subject}" for event in islice(_moves(demo), 12))


def _moves(demo: Demo) -> Iterator[Event]:
    return read_log(demo.place.registry, _AGENT)


def _held_out(demo: Demo) -> list[list[Request]]:
    requests = _shuffled(read_dispatch_requests(demo.packs, "val"))
    return spread(requests, [demo.extent.held_out, demo.extent.contest, demo.extent.morning])


def _shuffled(requests: list[Request]) -> list[Request]:
    # The packs are sorted by intent; a stable order by hash mixes them the same way everywhere.
    return sorted(requests, key=lambda request: digest_value([request.text, request.reference]))


def _user(request: Request) -> Message:
    return Message("user", request.text)


def _of(demo: Demo, number: int) -> str:
    return f" (night {number + 1} of {demo.extent.nights})" if demo.extent.nights > 1 else ""
