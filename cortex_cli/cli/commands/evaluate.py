"""`cortex evaluate`: score a variant on held-out requests, beside the champion."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.context import find_recipe, settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import ExitCodeOption, JsonOption
from cortex_cli.cli.output import emit, print_table, say
from cortex_cli.cli.progress import Steps
from cortex_cli.domain.errors import GateRefusedError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.evaluate.gates import GateSpec
    from cortex_cli.evaluate.scores import Scores
    from cortex_cli.pipeline.evaluating import Evaluated

__all__ = ["evaluate"]

_DOMAINS_SHOWN = 12


def evaluate(
    variant: Annotated[str, Argument(metavar="VARIANT", help="id of a variant")],
    suite: Annotated[str, Option("--suite", metavar="S", help="dataset[/version]:part, or a file of JSON Lines")],
    recipe: Annotated[str, Option("--recipe", metavar="R", help="recipe whose gates apply")] = "",
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Answer a suite with a variant, judge the answers, compare with the champion, check the gates."""
    from cortex_cli.pipeline.evaluating import evaluate_variant, find_suite
    from cortex_cli.pipeline.place import open_place

    current = settings()
    place = open_place(workspace(), actor=current.actor, wait=current.lock_wait)
    chosen = str(Path(suite).absolute()) if suite.endswith(".jsonl") else suite
    cases = find_suite(place, place.registry.snapshot(), chosen)
    steps = Steps()
    with steps.step(f"evaluate {variant} on {cases.name}"):
        evaluated = evaluate_variant(
            place, variant, cases, _gates(recipe), watch=lambda done, total: steps.update(f"{done} of {total} cases")
        )
    emit("evaluate", _plain(evaluated), lambda console: _show(console, evaluated), as_json=as_json)
    if exit_code and not evaluated.passed:
        refused = "; ".join(gate.reason for gate in evaluated.gates if not gate.passed)
        raise GateRefusedError(f"a gate refuses '{variant}': {refused}", state="nothing was changed")


def _gates(recipe: str) -> "GateSpec":
    from cortex_cli.evaluate.gates import GateSpec
    from cortex_cli.pipeline.recipes import load_recipe

    spec = load_recipe(find_recipe(recipe)).evaluate if recipe else None
    return spec.gates if spec else GateSpec()


def _plain(evaluated: "Evaluated") -> dict[str, Any]:
    return {
        "variant": evaluated.variant.id,
        "agent": evaluated.variant.agent,
        "scores": _totals(evaluated.scores),
        "champion": _totals(evaluated.champion) if evaluated.champion else None,
        "comparison": evaluated.comparison,
        "gates": evaluated.gates,
        "passed": evaluated.passed,
    }


def _totals(scores: "Scores") -> dict[str, Any]:
    return {
        "suite": scores.suite,
        "suite_digest": scores.suite_digest,
        "digest": scores.digest(),
        "cases": len(scores.results),
        "success": scores.success,
        "low": scores.low,
        "high": scores.high,
        "errors": scores.errors,
        "tokens": scores.tokens,
        "seconds": scores.seconds,
        "domains": {name: {"right": right, "cases": cases} for name, (right, cases) in scores.by_domain().items()},
    }


def _show(console: "Console", evaluated: "Evaluated") -> None:
    rows = [(evaluated.variant.id, *_row(evaluated.scores))]
    if evaluated.champion:
        rows.append(("champion", *_row(evaluated.champion)))
    console.print(f"{evaluated.scores.suite}: {len(evaluated.scores.results)} cases")
    print_table(console, ("VARIANT", "RIGHT", "95 % INTERVAL", "ERRORS", "TOKENS", "MS/CASE"), rows)
    if evaluated.comparison:
        found = evaluated.comparison
        console.print(
            f"difference {found.difference:+.1%} (95 % interval {found.low:+.1%} to {found.high:+.1%}); "
            f"only the champion right: {found.only_first}, only this variant: {found.only_second}"
        )
    domains = evaluated.scores.by_domain()
    if len(domains) > 1:
        ranked = sorted(domains.items(), key=lambda item: item[1][0] / item[1][1])[:_DOMAINS_SHOWN]
        print_table(console, ("DOMAIN", "RIGHT", "CASES"), [(name or "-", *counts) for name, counts in ranked])
    for gate in evaluated.gates:
        console.print(f"gate {gate.name}: {'passed' if gate.passed else 'REFUSED'}: {gate.reason}")
    say(f"  next: cortex promote {evaluated.variant.agent} {evaluated.variant.id}")


def _row(scores: "Scores") -> tuple[object, ...]:
    interval = f"{scores.low:.1%} to {scores.high:.1%}"
    speed = 1000 * scores.seconds / len(scores.results)
    return f"{scores.success:.1%}", interval, scores.errors, scores.tokens, f"{speed:.1f}"
