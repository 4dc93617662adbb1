"""The gates beside the task score, each decided from what was measured; a gate without a threshold is not checked."""

import math
from collections.abc import Sequence

import numpy as np

from cortex_cli.domain.manifests import Adapter
from cortex_cli.evaluate.calibration import measure_calibration
from cortex_cli.evaluate.gates import Gate, GateSpec, decide_gate, unmeasured
from cortex_cli.evaluate.leakage import Leakage
from cortex_cli.evaluate.scores import Range, Scores, compare_scores
from cortex_cli.evaluate.suites import Suite
from cortex_cli.pipeline.contenders import Contender
from cortex_cli.pipeline.measuring import Measures
from cortex_cli.stats.resampling import bootstrap_mean

__all__ = [
    "check_audit",
    "check_calibration",
    "check_exposure",
    "check_forgetting",
    "check_size",
    "check_slowdown",
    "check_suite",
    "check_unsafe",
]

# So many first guesses are no accident: one chance in a thousand, and never a single one.
_ACCIDENT = 0.001
_MEGA = 1e6


def check_suite(suite: Suite, scores: Scores) -> Gate | None:
    """Check a further suite against the threshold that it names itself."""
    asked = suite.spec.threshold if suite.spec else 0.0
    if not asked:
        return None
    words = f"{scores.success:.1%} right of {len(scores.results)} (95 % interval {scores.low:.1%} to {scores.high:.1%})"
    interval = Range(-scores.high, -scores.low, len(scores.results))
    return decide_gate(f"suite {suite.name}", f"{words}, at least {asked:.0%} asked", -scores.success, -asked, interval)


def check_forgetting(limit: float | None, own: Measures, base: Measures) -> Gate | None:
    """Check by how much the perplexity on general texts grew against the base, text by text."""
    if limit is None:
        return None
    if not own.surprise or not base.surprise:
        return unmeasured("forgetting", "the model tells no log-probabilities")
    found = _ratio(np.array(own.surprise) - np.array(base.surprise))
    growth = Range(found[1].low - 1, found[1].high - 1, found[1].groups)
    words = (
        f"perplexity per character on {len(own.surprise)} general texts {found[0] - 1:+.1%} against the base "
        f"({growth.low:+.1%} to {growth.high:+.1%}), at most {limit:+.0%} allowed"
    )
    return decide_gate("forgetting", words, found[0] - 1, limit, growth)


def check_unsafe(limits: GateSpec, suites: Sequence[Suite], own: Measures, theirs: Measures | None) -> Gate | None:
    """Check how many answers of the safety suite became worse than the rival's; it says what the rival can do at all."""
    if limits.max_unsafe is None:
        return None
    place = next(number for number, suite in enumerate(suites) if suite.name == limits.safety)
    scores = own.scores[place]
    if theirs is None:
        return unmeasured("unsafe", f"nobody to compare with; {scores.success:.0%} of {len(scores.results)} are safe")
    found = compare_scores(theirs.scores[place], scores)
    more, bounds = 0 - found.difference, Range(0 - found.high, 0 - found.low, found.cases)
    words = (
        f"{found.only_first} of {found.cases} answers became unsafe and {found.only_second} safe, "
        f"{more:+.1%} ({bounds.low:+.1%} to {bounds.high:+.1%}), at most {limits.max_unsafe:+.0%} allowed"
    )
    kinds = _by_kind(place, own, theirs)
    words += "".join(f"; {name}: {before} of {cases} before, {now} now" for name, before, now, cases in kinds)
    if any(before == 0 for _, before, _, _ in kinds):
        words += "; where the rival has none right, this shows nothing about the candidate"
    return decide_gate("unsafe", words, more, limits.max_unsafe, bounds)


def check_slowdown(limit: float | None, own: Measures, theirs: Measures | None) -> Gate | None:
    """Check the time of single requests against the rival's time for the same ones."""
    if limit is None:
        return None
    if theirs is None or not all(seconds > 0 for seconds in (*own.seconds, *theirs.seconds)):
        return unmeasured("latency", "there is no rival, or a model tells no time")
    value, interval = _ratio(np.log(own.seconds) - np.log(theirs.seconds))
    words = (
        f"{np.median(own.seconds) * 1000:.0f} ms a request against {np.median(theirs.seconds) * 1000:.0f} ms, "
        f"{value:.2f} times ({interval.low:.2f} to {interval.high:.2f}), at most {limit:.2f} allowed"
    )
    return decide_gate("latency", words, value, limit, interval)


def check_size(limit: float | None, adapter: Adapter | None) -> Gate | None:
    """Check how large the adapter's files are together."""
    if limit is None:
        return None
    size = sum(blob.size for blob in adapter.files) / _MEGA if adapter else 0.0
    return decide_gate("size", f"{size:.1f} MB, at most {limit:.1f} MB allowed", size, limit)


def check_exposure(limit: float | None, contender: Contender, own: Measures, base: Measures) -> Gate | None:
    """Check whether unique strings that were learned can be had back from the model."""
    if limit is None:
        return None
    if contender.adapter is None:
        return Gate(name="leakage", outcome="passed", reason="no adapter: nothing was learned here")
    if own.leakage is None:
        return _no_leakage(contender, own)
    found = own.leakage
    words = _told(found, base.leakage)
    if found.first > 1 and found.chance < _ACCIDENT:
        return Gate(
            name="leakage", outcome="failed", reason=words, value=found.mean, threshold=limit, interval=found.interval
        )
    return decide_gate("leakage", f"{words}, at most {limit:.1f} allowed", found.mean, limit, found.interval)


def check_calibration(limit: float | None, scores: Scores) -> Gate | None:
    """Check whether answers are as often right as the model is sure of them."""
    if limit is None:
        return None
    found = measure_calibration(scores.results)
    if found is None:
        return unmeasured("calibration", "the model tells no log-probabilities")
    words = (
        f"calibration error {found.error:.3f} ({found.interval.low:.3f} to {found.interval.high:.3f}; "
        f"{found.noise:.3f} by chance): {found.sure:.0%} sure, {found.right:.0%} right, at most {limit:.2f} allowed"
    )
    return decide_gate("calibration", words, found.error, limit, found.interval)


def check_audit(limit: float | None, contender: Contender) -> Gate | None:
    """Check that the adapter is one: over the base that it names, with files that are whole, and a change that is there."""
    if limit is None:
        return None
    adapter, folder = contender.adapter, contender.adapter_folder()
    if adapter is None or folder is None:
        return Gate(name="audit", outcome="passed", reason="no adapter: nothing to audit")
    if adapter.base_digest != contender.model.digest:
        words = f"trained over {adapter.base_digest[:19]}, the base is now {contender.model.digest[:19]}"
        return Gate(name="audit", outcome="failed", reason=words)
    from cortex_cli.models.delta import measure_delta

    found = measure_delta(contender.base_folder(), folder)
    if not found.finite or found.still == found.layers:
        state = "not finite" if not found.finite else "zero in every layer"
        return Gate(name="audit", outcome="failed", reason=f"the update is {state}: this is no trained adapter")
    words = (
        f"base and files are those of the manifest; weights change by {found.relative:.2%} in {found.layers} layers, "
        f"at least {limit:.2%} asked"
    )
    return decide_gate("audit", words, -found.relative, -limit)


def _ratio(logs: np.ndarray) -> tuple[float, Range]:
    """Return the geometric mean of ratios from their logarithms, with its interval over the rows."""
    found = bootstrap_mean(logs.astype(np.float64), None, np.random.default_rng(0))
    bounds = Range(float(np.exp(found.low)), float(np.exp(found.high)), logs.size)
    return float(np.exp(logs.mean())), bounds


def _by_kind(place: int, own: Measures, theirs: Measures) -> list[tuple[str, int, int, int]]:
    before, now = theirs.scores[place].by_domain(), own.scores[place].by_domain()
    return [(name or "-", before[name][0], right, cases) for name, (right, cases) in sorted(now.items())]


def _no_leakage(contender: Contender, own: Measures) -> Gate:
    if not own.surprise and contender.model.kind in {"api", "ollama"}:
        return unmeasured("leakage", "the model tells no log-probabilities")
    dataset = contender.adapter.dataset if contender.adapter else ""
    words = f"no answer learned from {dataset} holds a string that is in no other"
    return Gate(name="leakage", outcome="passed", reason=words)


def _told(found: Leakage, base: Leakage | None) -> str:
    rows = len(found.exposures)
    most = math.log2(found.candidates + 1)
    words = f"{rows} unique strings: {found.mean:.2f} bits of at most {most:.0f} (1.44 by chance"
    words += f", {base.mean:.2f} in the base)" if base else ")"
    return f"{words}, {found.first} of {rows} guessed first of {found.candidates + 1}"
