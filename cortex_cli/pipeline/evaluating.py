"""The evaluation stage: a variant and a suite in, scores and a comparison with the champion out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cortex_cli.curate.versions import SEALED, read_examples, read_sealed
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Agent, Variant
from cortex_cli.evaluate.gates import Gate, GateSpec, check_gates
from cortex_cli.evaluate.scores import Comparison, Scores, compare_scores, score_suite
from cortex_cli.evaluate.suites import Suite, read_suite, suite_of_examples
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.variants import open_variant
from cortex_cli.registry.snapshot import Snapshot

__all__ = ["Evaluated", "evaluate_variant", "find_suite", "score_variant"]

Watch = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A variant's scores, the champion's on the same cases, the paired comparison, and the gates."""

    variant: Variant
    scores: Scores
    champion: Scores | None
    comparison: Comparison | None
    gates: list[Gate]

    @property
    def passed(self) -> bool:
        """Say whether every gate passed."""
        return all(gate.passed for gate in self.gates)


def find_suite(place: Place, snapshot: Snapshot, name: str) -> Suite:
    """Return the suite called *name*: `dataset[/version][:part]`, or a path ending in `.jsonl`."""
    if name.endswith(".jsonl"):
        path = Path(name) if Path(name).is_absolute() else place.workspace.root / name
        if not path.is_file():
            raise UsageError(f"suite '{name}' does not exist", hint="cortex dataset ls", state="nothing was evaluated")
        return read_suite(path)
    source, _, part = name.partition(":")
    dataset, _, version = source.partition("/")
    found = snapshot.dataset(dataset, version)
    part = part or SEALED
    examples = read_sealed(place.objects, found) if part == SEALED else read_examples(place.objects, found, part)
    # A pair repeats an example of the same part beside another wrong answer: it asks nothing new.
    asked = (example for example in examples if example.source != "pair")
    return suite_of_examples(f"{found.name}/{found.version}:{part}", asked)


def evaluate_variant(
    place: Place,
    variant_id: str,
    suite: Suite,
    gates: GateSpec,
    *,
    watch: Watch = lambda _done, _total: None,
) -> Evaluated:
    """Score the variant on *suite*; where it is not the champion, score the champion beside it."""
    snapshot = place.registry.snapshot()
    variant = snapshot.variant(variant_id)
    agent = snapshot.agent(variant.agent)
    scores = score_variant(place, snapshot, variant, suite, watch=watch)
    champion = comparison = None
    if agent.champion and agent.champion != variant.id:
        champion = score_variant(place, snapshot, snapshot.variant(agent.champion), suite, watch=watch)
        comparison = compare_scores(champion, scores)
    return Evaluated(variant, scores, champion, comparison, check_gates(gates, scores, comparison))


def score_variant(
    place: Place, snapshot: Snapshot, variant: Variant, suite: Suite, *, watch: Watch = lambda _done, _total: None
) -> Scores:
    """Answer *suite* with *variant* and judge the answers as its agent asks."""
    agent: Agent = snapshot.agent(variant.agent)
    return score_suite(open_variant(place, snapshot, variant), suite, agent.judge, watch=watch)
