"""Gates before a candidate may challenge: the task, and all that a better task score could hide."""

from collections.abc import Callable, Sequence

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.manifests import Adapter, Blob, Variant
from cortex_cli.evaluate.calibration import measure_calibration
from cortex_cli.evaluate.gates import Gate, GateSpec, Override, apply_overrides, check_gates, name_gates, require_gates
from cortex_cli.evaluate.reports import Gates, SuiteReport, report_suite
from cortex_cli.evaluate.scores import compare_scores
from cortex_cli.evaluate.suites import Suite
from cortex_cli.pipeline.asking import put_before_people
from cortex_cli.pipeline.auxiliary import (
    check_audit,
    check_calibration,
    check_exposure,
    check_forgetting,
    check_size,
    check_slowdown,
    check_suite,
    check_unsafe,
)
from cortex_cli.pipeline.contenders import Contender, find_contender, name_contender
from cortex_cli.pipeline.evaluating import Setting, Watch, find_rival, find_suite
from cortex_cli.pipeline.measuring import Measures, Wishes, list_canaries, measure_base, measure_contender
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.recipes import EvaluateSpec
from cortex_cli.pipeline.refereeing import measure_referee
from cortex_cli.registry.actions import record_evaluation
from cortex_cli.registry.snapshot import Snapshot

__all__ = ["Gates", "Tell", "check_candidate", "read_gates", "record_gates"]

Tell = Callable[[str], Watch]


def check_candidate(
    place: Place,
    candidate: str | Adapter | Variant,
    spec: EvaluateSpec,
    *,
    overrides: Sequence[Override] = (),
    setting: Setting = Setting(),  # noqa: B008  a tuple
    tell: Tell = lambda _what: lambda _done, _total: None,
) -> Gates:
    """Measure *candidate*, an adapter or a variant of the registry, and check every gate that *spec* sets.

    An adapter is measured under its agent's champion's prompt; nothing is registered. The result is kept as an object.
    A call that was killed goes on with the answers that it had. Raises `UsageError` for an override of no gate here.
    """
    snapshot = place.registry.snapshot()
    suites = _suites(place, snapshot, spec)  # before the candidate: a wrong name costs nothing here
    contender = _find(place, snapshot, candidate)
    rival = find_rival(contender, setting.against or spec.against)
    wishes = _wishes(contender, spec, setting, suites)
    more = [suite.name for suite in wishes.suites[1:] if suite.spec and suite.spec.threshold]
    require_gates(name_gates(spec.gates, rival=rival is not None, suites=more), overrides)
    own = measure_contender(contender, wishes, tell)
    theirs = measure_contender(rival, wishes._replace(general=None, canaries=()), tell) if rival else None
    gates = _check(contender, spec, wishes, (own, theirs, measure_base(contender, wishes)))
    result = Gates(
        variant=contender.variant.id,
        agent=contender.variant.agent,
        adapter=contender.variant.adapter,
        against=rival.variant.id if rival else "",
        suites=_reports(own, theirs),
        gates=tuple(apply_overrides(gates, overrides)),
        calibration=measure_calibration(own.scores[0].results),
        agreement=measure_referee(contender, wishes.suites),
        created=place.time(),
    )
    return _keep(contender, wishes, own, spec, result)


def read_gates(place: Place, digest: str) -> Gates:
    """Return the result that the object *digest* holds; raise `IntegrityError` when it is missing or corrupt."""
    found = msgspec.json.decode(place.objects.read_bytes(digest), type=Gates)
    return msgspec.structs.replace(found, digest=digest)


def record_gates(place: Place, gates: Gates) -> str:
    """Commit what *gates* found to the manifest of the adapter that was checked; return the commit."""
    size = len(place.objects.read_bytes(gates.digest))
    return record_evaluation(place.registry, gates.adapter, gates.scores(), Blob("gates.json", gates.digest, size))


def _find(place: Place, snapshot: Snapshot, candidate: str | Adapter | Variant) -> Contender:
    if isinstance(candidate, str):
        return find_contender(place, snapshot, candidate)
    return name_contender(place, snapshot, candidate)


def _keep(contender: Contender, wishes: Wishes, own: Measures, spec: EvaluateSpec, result: Gates) -> Gates:
    if spec.review and any(gate.outcome == "undecided" and not gate.override for gate in result.gates):
        asked = put_before_people(contender, wishes.suites[0], own.scores[0], limit=spec.review)
        result = msgspec.structs.replace(result, review=asked)
    return msgspec.structs.replace(result, digest=contender.place.objects.put_bytes(canonical_json(result)))


def _suites(place: Place, snapshot: Snapshot, spec: EvaluateSpec) -> tuple[Suite, ...]:
    safety = [spec.gates.safety] if spec.gates.max_unsafe is not None else []
    return tuple(find_suite(place, snapshot, name) for name in dict.fromkeys([spec.suite, *spec.more, *safety]))


def _wishes(contender: Contender, spec: EvaluateSpec, setting: Setting, suites: tuple[Suite, ...]) -> Wishes:
    gates = spec.gates
    general = gates.max_forgetting is not None
    return Wishes(
        suites=suites,
        general=find_suite(contender.place, contender.snapshot, gates.general) if general else None,
        timed=gates.max_slowdown is not None,
        canaries=list_canaries(contender) if gates.max_exposure is not None else (),
        unsafe=setting.unsafe,
    )


def _check(
    contender: Contender, spec: EvaluateSpec, wishes: Wishes, measured: tuple[Measures, Measures | None, Measures]
) -> list[Gate]:
    own, theirs, base = measured
    limits: GateSpec = spec.gates
    comparison = compare_scores(theirs.scores[0], own.scores[0]) if theirs else None
    found: list[Gate | None] = [
        *check_gates(limits, own.scores[0], comparison),
        *(
            check_suite(suite, scores)
            for suite, scores in zip(wishes.suites[1:], own.scores[1:], strict=True)
            if suite.name != limits.safety
        ),
        check_forgetting(limits.max_forgetting, own, base),
        check_unsafe(limits, wishes.suites, own, theirs),
        check_slowdown(limits.max_slowdown, own, theirs),
        check_size(limits.max_megabytes, contender.adapter),
        check_exposure(limits.max_exposure, contender, own, base),
        check_calibration(limits.max_miscalibration, own.scores[0]),
        check_audit(limits.min_change, contender),
    ]
    return [gate for gate in found if gate is not None]


def _reports(own: Measures, theirs: Measures | None) -> tuple[SuiteReport, ...]:
    others = theirs.scores if theirs else (None,) * len(own.scores)
    return tuple(report_suite(scores, other) for scores, other in zip(own.scores, others, strict=True))
