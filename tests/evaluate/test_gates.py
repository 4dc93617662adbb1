import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.evaluate.gates import Gate, GateSpec, Override, apply_overrides, check_gates, decide_gate, unmeasured
from cortex_cli.evaluate.reports import Gates
from cortex_cli.evaluate.scores import CaseResult, Comparison, Range, Scores


def scores(right: int, cases: int, low: float, high: float, **fields: object) -> Scores:
    results = tuple(CaseResult(case=f"c{n}", right=n < right, answer="") for n in range(cases))
    made = {"suite": "s", "suite_digest": "d", "results": results, "success": right / cases, "low": low, "high": high}
    return Scores(**(made | {"errors": 0, "tokens": 0, "seconds": 0.0} | fields))  # type: ignore[arg-type]


def pair(difference: float, low: float, high: float, resampled: Range | None = None) -> Comparison:
    return Comparison(
        cases=100,
        first=0.5,
        second=0.5 + difference,
        only_first=1,
        only_second=1,
        difference=difference,
        low=low,
        high=high,
        resampled=resampled,
    )


def outcome(spec: GateSpec, found: Scores, comparison: Comparison | None, name: str) -> str:
    return next(gate.outcome for gate in check_gates(spec, found, comparison) if gate.name == name)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((0.1, 0.2), "passed"), ((0.1, 0.3), "passed"), ((0.1, 0.31), "undecided"), ((0.31, 0.4), "failed")],
)
def test_a_gate_decides_by_the_whole_interval(interval: tuple[float, float], expected: str) -> None:
    assert decide_gate("g", "why", 0.2, 0.3, Range(*interval)).outcome == expected


def test_without_an_interval_the_value_decides() -> None:
    assert decide_gate("g", "why", 0.3, 0.3).outcome == "passed"
    assert decide_gate("g", "why", 0.31, 0.3).outcome == "failed"


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.6, 0.9, "passed"), (0.4, 0.9, "undecided"), (0.1, 0.4, "failed")]
)
def test_the_share_right_is_held_against_its_threshold(low: float, high: float, expected: str) -> None:
    assert outcome(GateSpec(min_success=0.5), scores(7, 10, low, high), None, "success") == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-0.01, 0.05, "passed"), (-0.05, 0.05, "undecided"), (-0.09, -0.03, "failed")]
)
def test_a_loss_against_the_champion_is_told_from_not_knowing(low: float, high: float, expected: str) -> None:
    assert outcome(GateSpec(max_loss=0.02), scores(5, 10, 0.2, 0.8), pair(0.0, low, high), "not worse") == expected


def test_cases_that_stand_together_make_a_comparison_less_sure() -> None:
    narrow = pair(0.01, -0.01, 0.03)
    grouped = pair(0.01, -0.01, 0.03, Range(-0.1, 0.12, 10))
    alone = pair(0.01, -0.01, 0.03, Range(-0.1, 0.12, 100))

    assert outcome(GateSpec(), scores(5, 10, 0.2, 0.8), narrow, "not worse") == "passed"
    assert outcome(GateSpec(), scores(5, 10, 0.2, 0.8), grouped, "not worse") == "undecided"
    assert outcome(GateSpec(), scores(5, 10, 0.2, 0.8), alone, "not worse") == "passed"


def test_malformed_answers_are_bounded_only_where_that_is_asked() -> None:
    bad = scores(5, 10, 0.2, 0.8, malformed=9)

    assert "format" not in [gate.name for gate in check_gates(GateSpec(), bad, None)]
    assert outcome(GateSpec(max_malformed=0.1), bad, None, "format") == "failed"
    assert outcome(GateSpec(max_malformed=0.1), scores(5, 10, 0.2, 0.8), None, "format") == "undecided"
    assert outcome(GateSpec(max_malformed=0.5), scores(5, 10, 0.2, 0.8), None, "format") == "passed"


def test_every_gate_says_its_numbers() -> None:
    spec = GateSpec(min_success=0.5, max_malformed=0.1)
    for gate in check_gates(spec, scores(5, 10, 0.2, 0.8), pair(0.0, -0.1, 0.1)):
        assert any(character.isdigit() for character in gate.reason)
        assert gate.value is not None
        assert gate.threshold is not None


def test_what_was_not_measured_does_not_pass() -> None:
    gate = unmeasured("forgetting", "no log-probabilities")

    assert (gate.outcome, gate.opens) == ("undecided", False)
    assert gate.reason == "not measured: no log-probabilities"


def test_an_override_opens_a_gate_and_is_kept_with_it() -> None:
    gates = [Gate(name="a", outcome="failed", reason="r"), Gate(name="b", outcome="passed", reason="r")]
    told = [Override(gate=name, by="Ada", because="known and accepted") for name in ("a", "b")]
    first, second = apply_overrides(gates, told)

    assert (first.outcome, first.opens, first.override) == ("failed", True, told[0])
    assert second.override is None


def test_an_override_of_no_gate_is_refused_with_what_there_is() -> None:
    gates = [Gate(name="size", outcome="failed", reason="r")]
    with pytest.raises(UsageError, match="no gate 'sise' here; checked are: size"):
        apply_overrides(gates, [Override(gate="sise", by="Ada", because="x")])


@pytest.mark.parametrize(("by", "because"), [("", "x"), ("Ada", " ")])
def test_an_override_needs_a_name_and_a_reason(by: str, because: str) -> None:
    with pytest.raises(ValueError, match="a name and a reason"):
        Override(gate="a", by=by, because=because)


def test_the_worst_gate_decides_and_an_override_takes_it_out() -> None:
    def result(*outcomes: str) -> str:
        gates = tuple(Gate(name=str(n), outcome=each, reason="") for n, each in enumerate(outcomes))  # type: ignore[arg-type]
        return Gates(variant="v", agent="a", gates=gates).outcome

    assert result("passed", "passed") == "passed"
    assert result("passed", "undecided") == "undecided"
    assert result("undecided", "failed") == "failed"
    open_gate = Gate(name="x", outcome="failed", reason="", override=Override(gate="x", by="Ada", because="y"))
    assert Gates(variant="v", agent="a", gates=(open_gate,)).passed


@pytest.mark.parametrize("field", ["max_unsafe", "max_miscalibration", "max_malformed"])
def test_shares_stay_shares(field: str) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        GateSpec(**{field: 1.5})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        GateSpec(max_slowdown=-1.0)
