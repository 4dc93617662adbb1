"""Gates: what a candidate must show before it may challenge. Three answers: passed, failed, undecided.

A gate that reads a share decides by the whole interval: on the good side of the threshold it passed, on the bad side it
failed, across it more cases are needed and people may look (PRM-06). A gate that could not be measured is undecided too:
nothing passes for want of looking.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from cortex_cli.domain.errors import UsageError
from cortex_cli.evaluate.scores import Comparison, Range, Scores
from cortex_cli.stats.intervals import wilson_interval

__all__ = [
    "Gate",
    "GateSpec",
    "Override",
    "apply_overrides",
    "check_gates",
    "decide_gate",
    "name_gates",
    "require_gates",
    "unmeasured",
]

Outcome = Literal["passed", "failed", "undecided"]


class GateSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds. Shares are in [0, 1]; a threshold that is not set is not checked, but for the first three.

    *min_success* 0 lets any score pass. *max_loss* bounds how much worse than the champion the lower end of the paired
    interval may be. *max_errors* is the share of cases that may end with an error, *max_malformed* those whose answer has
    not the form that the judge reads. *max_forgetting* is the share by which the perplexity on the suite *general* may
    grow against the base, *max_unsafe* the share of the suite *safety* that may turn unsafe against the champion.
    *max_slowdown* is a factor on the champion's time per request, *max_megabytes* the size of the adapter, *max_exposure*
    the mean bits by which learned unique strings are given away (1.44 by chance), *max_miscalibration* the expected
    calibration error, *min_change* the least change of the weights, relative to the base.
    """

    min_success: float = 0.0
    max_loss: float = 0.02
    max_errors: float = 0.01
    max_malformed: float | None = None
    max_forgetting: float | None = None
    max_unsafe: float | None = None
    max_slowdown: float | None = None
    max_megabytes: float | None = None
    max_exposure: float | None = None
    max_miscalibration: float | None = None
    min_change: float | None = None
    general: str = "general"
    safety: str = "safety"

    def __post_init__(self) -> None:
        shares = (self.min_success, self.max_loss, self.max_errors, self.max_malformed, self.max_unsafe)
        if not all(0 <= value <= 1 for value in (*shares, self.max_miscalibration) if value is not None):
            raise ValueError("thresholds are shares between 0 and 1")
        rest = (self.max_forgetting, self.max_slowdown, self.max_megabytes, self.max_exposure, self.min_change)
        if any(value < 0 for value in rest if value is not None):
            raise ValueError("thresholds must not be negative")


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Who let a candidate through a gate that had not passed, why, and when."""

    gate: str
    by: str
    because: str
    time: str = ""

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.because.strip():
            raise ValueError("an override needs a name and a reason")


class Gate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One gate's answer: its name, the outcome, the sentence with the numbers, and the numbers."""

    name: str
    outcome: Outcome
    reason: str
    value: float | None = None
    threshold: float | None = None
    interval: Range | None = None
    override: Override | None = None

    @property
    def passed(self) -> bool:
        """Tell whether the gate itself said yes."""
        return self.outcome == "passed"

    @property
    def opens(self) -> bool:
        """Tell whether a candidate may go through: the gate passed, or somebody answers for it."""
        return self.passed or self.override is not None


def decide_gate(name: str, reason: str, value: float, threshold: float, interval: Range | None = None) -> Gate:
    """Return the gate called *name* on a *value* that must be at most *threshold*, with its whole *interval* if there is one.

    For a value that must be at least something give value, threshold and interval with their signs turned.
    """
    low, high = (interval.low, interval.high) if interval else (value, value)
    outcome: Outcome = "passed" if high <= threshold else "failed" if low > threshold else "undecided"
    return Gate(name=name, outcome=outcome, reason=reason, value=value, threshold=threshold, interval=interval)


def unmeasured(name: str, why: str) -> Gate:
    """Return the gate *name*, undecided because it could not be measured."""
    return Gate(name=name, outcome="undecided", reason=f"not measured: {why}")


def check_gates(spec: GateSpec, scores: Scores, comparison: Comparison | None) -> list[Gate]:
    """Check *scores*, and the *comparison* with the champion if there is one, against *spec*."""
    gates = [_success(spec, scores), _errors(spec, scores)]
    if spec.max_malformed is not None:
        gates.append(_malformed(spec.max_malformed, scores))
    if comparison is not None:
        gates.append(_loss(spec, comparison))
    return gates


def apply_overrides(gates: Sequence[Gate], overrides: Sequence[Override]) -> list[Gate]:
    """Return *gates* with the *overrides* on those that had not passed; a gate that passed needs none and keeps none.

    Raises `UsageError` for an override of a gate that was not checked.
    """
    by_name = {override.gate: override for override in overrides}
    require_gates([gate.name for gate in gates], overrides)
    return [
        gate if gate.passed or gate.name not in by_name else msgspec.structs.replace(gate, override=by_name[gate.name])
        for gate in gates
    ]


def require_gates(names: Sequence[str], overrides: Sequence[Override]) -> None:
    """Raise `UsageError` for an override of a gate that is not among *names*."""
    unknown = sorted({override.gate for override in overrides} - set(names))
    if unknown:
        raise UsageError(
            f"there is no gate '{unknown[0]}' here; checked are: {', '.join(names)}", state="nothing was recorded"
        )


def name_gates(spec: GateSpec, *, rival: bool, suites: Sequence[str]) -> list[str]:
    """Return the names of the gates that *spec* sets, with those of further *suites*, before anything is measured."""
    named = {
        "format": spec.max_malformed,
        "forgetting": spec.max_forgetting,
        "unsafe": spec.max_unsafe,
        "latency": spec.max_slowdown,
        "size": spec.max_megabytes,
        "leakage": spec.max_exposure,
        "calibration": spec.max_miscalibration,
        "audit": spec.min_change,
    }
    found = ["success", "errors", *(["not worse"] if rival else []), *(f"suite {name}" for name in suites)]
    return [*found, *(name for name, limit in named.items() if limit is not None)]


def _success(spec: GateSpec, scores: Scores) -> Gate:
    words = f"{scores.success:.1%} right of {len(scores.results)}, at least {spec.min_success:.0%} asked"
    found = decide_gate(
        "success",
        words,
        -scores.success,
        -spec.min_success,
        Range(-scores.high, -scores.low) if spec.min_success else None,
    )
    told = f"{words} (95 % interval {scores.low:.1%} to {scores.high:.1%})" if found.outcome == "undecided" else words
    interval = Range(scores.low, scores.high, len(scores.results))
    return msgspec.structs.replace(
        found, reason=told, value=scores.success, threshold=spec.min_success, interval=interval
    )


def _errors(spec: GateSpec, scores: Scores) -> Gate:
    # What went wrong here went wrong: no inference to other cases, so no interval.
    errors = scores.errors / len(scores.results)
    words = f"{errors:.1%} errors, at most {spec.max_errors:.0%} allowed"
    return decide_gate("errors", words, errors, spec.max_errors)


def _malformed(limit: float, scores: Scores) -> Gate:
    cases = len(scores.results)
    bounds = wilson_interval(scores.malformed, cases)
    words = f"{scores.malformed} of {cases} answers malformed, at worst {bounds.high:.1%}, at most {limit:.1%} allowed"
    return decide_gate("format", words, scores.malformed / cases, limit, Range(bounds.low, bounds.high, cases))


def _loss(spec: GateSpec, comparison: Comparison) -> Gate:
    # With groups the cases are fewer than they look: the wider of both intervals decides.
    ranges = [Range(comparison.low, comparison.high, comparison.cases), *filter(None, [_grouped(comparison)])]
    low, high = min(found.low for found in ranges), max(found.high for found in ranges)
    words = f"at worst {low:+.1%} against the champion, at most {-spec.max_loss:.0%} allowed"
    found = decide_gate("not worse", words, -comparison.difference, spec.max_loss, Range(-high, -low, comparison.cases))
    if found.outcome == "undecided":
        words += f"; between {low:+.1%} and {high:+.1%} on {comparison.cases} cases nothing is decided"
    return msgspec.structs.replace(
        found, reason=words, value=comparison.difference, threshold=-spec.max_loss, interval=Range(low, high)
    )


def _grouped(comparison: Comparison) -> Range | None:
    found = comparison.resampled
    return found if found is not None and found.groups < comparison.cases else None
