"""Gates: what a candidate must show before it may challenge. Each says yes or no with a number."""

import msgspec

from cortex_cli.evaluate.scores import Comparison, Scores

__all__ = ["Gate", "GateSpec", "check_gates"]


class GateSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds, as shares in [0, 1]. *min_success* 0 lets any score pass.

    *max_loss* bounds how much worse than the champion the lower end of the paired interval may be.
    """

    min_success: float = 0.0
    max_loss: float = 0.02
    max_errors: float = 0.01

    def __post_init__(self) -> None:
        if not all(0 <= value <= 1 for value in (self.min_success, self.max_loss, self.max_errors)):
            raise ValueError("thresholds are shares between 0 and 1")


class Gate(msgspec.Struct, frozen=True):
    """One gate's answer: its name, whether it passed, and the sentence with the numbers."""

    name: str
    passed: bool
    reason: str


def check_gates(spec: GateSpec, scores: Scores, comparison: Comparison | None) -> list[Gate]:
    """Check *scores*, and the *comparison* with the champion if there is one, against *spec*."""
    cases = len(scores.results)
    errors = scores.errors / cases
    gates = [
        Gate(
            "success",
            scores.success >= spec.min_success,
            f"{scores.success:.1%} right of {cases}, at least {spec.min_success:.0%} asked",
        ),
        Gate("errors", errors <= spec.max_errors, f"{errors:.1%} errors, at most {spec.max_errors:.0%} allowed"),
    ]
    if comparison is not None:
        gates.append(
            Gate(
                "not worse",
                comparison.low >= -spec.max_loss,
                f"at worst {comparison.low:+.1%} against the champion, at most {-spec.max_loss:.0%} allowed",
            )
        )
    return gates
