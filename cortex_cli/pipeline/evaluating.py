"""The evaluation stage: a variant and a suite in, scores and a comparison with the champion out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from cortex_cli.curate.versions import SEALED, read_examples, read_sealed
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Generate
from cortex_cli.domain.manifests import Prices, Variant
from cortex_cli.evaluate.gates import Gate, GateSpec, check_gates
from cortex_cli.evaluate.judging import Panel, Tools
from cortex_cli.evaluate.scores import Comparison, Scores, compare_scores, score_suite
from cortex_cli.evaluate.suites import JudgeSpec, Suite, read_suite, suite_of_examples
from cortex_cli.pipeline.contenders import Contender, find_contender, name_contender, open_model
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.snapshot import Snapshot

__all__ = [
    "Evaluated",
    "Setting",
    "evaluate_variant",
    "find_rival",
    "find_suite",
    "list_suites",
    "open_panel",
    "score_contender",
    "score_variant",
]

Watch = Callable[[int, int], None]

# Cases between two syncs of the answers: what a kill may lose.
_CHUNK = 128
_SUITES = Path("datasets") / "suites"
_FILES = (".jsonl", ".toml")


class Setting(NamedTuple):
    """How an evaluation is run: the rival if it is not the champion, and leave to run programs without a sandbox."""

    against: str = ""
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A variant's scores, the rival's on the same cases, the paired comparison, and the gates.

    *champion* is the rival's scores: the champion's unless *against* names another variant.
    """

    variant: Variant
    scores: Scores
    champion: Scores | None
    comparison: Comparison | None
    gates: list[Gate]
    against: str = ""

    @property
    def passed(self) -> bool:
        """Say whether every gate lets the variant through."""
        return all(gate.opens for gate in self.gates)


def list_suites(place: Place) -> list[Path]:
    """Return the TOML files of the suites of the workspace and of the starter content; the workspace's own win."""
    found = {path.stem: path for root in _roots(place)[::-1] for path in sorted((root / _SUITES).glob("*.toml"))}
    return [found[name] for name in sorted(found)]


def find_suite(place: Place, snapshot: Snapshot, name: str) -> Suite:
    """Return the suite called *name*: `dataset[/version][:part]`, a file ending in `.toml` or `.jsonl`, or a shipped one."""
    if name.endswith(_FILES):
        path = Path(name) if Path(name).is_absolute() else place.workspace.root / name
        if not path.is_file():
            raise UsageError(f"suite '{name}' does not exist", hint="cortex dataset ls", state="nothing was evaluated")
        return read_suite(path)
    shipped = next((path for path in list_suites(place) if path.stem == name), None)
    if shipped is not None:
        return read_suite(shipped)
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
    setting: Setting = Setting(),  # noqa: B008  a tuple
    watch: Watch = lambda _done, _total: None,
) -> Evaluated:
    """Score the variant, or the adapter under the champion's prompt, on *suite*; beside it the champion, or another."""
    snapshot = place.registry.snapshot()
    contender = find_contender(place, snapshot, variant_id)
    panel = open_panel(place, snapshot, contender, suite, unsafe=setting.unsafe)
    rival = find_rival(contender, setting.against)
    scores = score_contender(contender, suite, panel, watch=watch)
    theirs = score_contender(rival, suite, panel, watch=watch) if rival else None
    comparison = compare_scores(theirs, scores) if theirs else None
    found = check_gates(gates, scores, comparison)
    return Evaluated(contender.variant, scores, theirs, comparison, found, rival.variant.id if rival else "")


def score_variant(
    place: Place, snapshot: Snapshot, variant: Variant, suite: Suite, *, watch: Watch = lambda _done, _total: None
) -> Scores:
    """Answer *suite* with *variant* and judge the answers as the suite or its agent asks."""
    contender = name_contender(place, snapshot, variant)
    return score_contender(contender, suite, open_panel(place, snapshot, contender, suite), watch=watch)


def score_contender(
    contender: Contender,
    suite: Suite,
    panel: Panel,
    *,
    model: Generate | None = None,
    watch: Watch = lambda _done, _total: None,
) -> Scores:
    """Answer *suite* with *contender*, loaded here unless *model* is it, and judge the answers.

    Answers are kept on disk until all of them are judged: a call that is killed goes on where it was.
    """
    answered = contender.keep_answers(model or contender.open())
    scores = score_suite(answered, suite, panel, chunk=_CHUNK, watch=watch)
    answered.forget()
    return msgspec.structs.replace(scores, cost=_cost(scores, contender.prices))


def find_rival(contender: Contender, against: str = "") -> Contender | None:
    """Return whom *contender* is compared with: *against*, or its agent's champion; None when that is itself."""
    name = against or contender.snapshot.agent(contender.variant.agent).champion
    if not name or name == contender.variant.id:
        return None
    return find_contender(contender.place, contender.snapshot, name)


def open_panel(place: Place, snapshot: Snapshot, contender: Contender, suite: Suite, *, unsafe: bool = False) -> Panel:
    """Return the judge of *suite*: its own, or the one of the contender's agent; a model that judges is loaded."""
    asked = suite.spec.judge if suite.spec else snapshot.agent(contender.variant.agent).judge
    spec = JudgeSpec(name=asked) if isinstance(asked, str) else asked
    if not spec.model:
        return Panel(spec, Tools(unsafe=unsafe))
    model = snapshot.model(spec.model)
    version = f"{model.name} {(model.digest or model.revision or model.source)[:19]}"
    return Panel(spec, Tools(open_model(place, snapshot, spec.model, limit=8), version, unsafe))


def _cost(scores: Scores, prices: Prices) -> float:
    taken = sum(result.tokens_in for result in scores.results) * prices.input
    written = sum(result.tokens_out for result in scores.results) * prices.output
    return (taken + written) / 1e6


def _roots(place: Place) -> list[Path]:
    return [place.workspace.root, place.starter]
