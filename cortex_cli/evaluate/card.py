"""The model card of an adapter: Markdown under a YAML header, in the manner of the Hugging Face hub.

It is made of manifests and of what was measured. No text of a request or an answer is in it. What was not measured is not
in it either: no energy, no carbon, no claim.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cortex_cli.domain.manifests import Adapter, DatasetVersion, Model
from cortex_cli.evaluate.reports import Gates
from cortex_cli.evaluate.scores import Comparison

__all__ = ["render_card"]

_SHOWN_DOMAINS = 20


def render_card(
    adapter: Adapter,
    base: Model,
    dataset: DatasetVersion | None,
    settings: Mapping[str, object],
    found: Gates | None = None,
) -> str:
    """Render the card of *adapter*; *settings* are those in its files, *found* is an evaluation of it if there is one."""
    lines = [
        *_header(adapter, base),
        *_trained(adapter, base, settings),
        *_data(adapter, dataset),
        *_scores(adapter, found),
        *_gates(found),
        *_use(adapter, base),
    ]
    return "\n".join(lines) + "\n"


def _header(adapter: Adapter, base: Model) -> Iterator[str]:
    yield "---"
    yield f"base_model: {json.dumps(base.source)}"
    yield "library_name: peft"
    yield f"license: {json.dumps(base.licence or 'unknown')}"
    yield "pipeline_tag: text-generation"
    yield "tags:"
    yield from ("- cortex", "- lora", f"- agent:{adapter.agent}")
    yield "---"
    yield ""
    yield f"# {adapter.id}"
    yield ""
    state = " **It is revoked: data that it learned was withdrawn.**" if adapter.state == "revoked" else ""
    yield f"An adapter for the agent `{adapter.agent}` over `{base.name}`.{state}"
    yield ""


def _trained(adapter: Adapter, base: Model, settings: Mapping[str, object]) -> Iterator[str]:
    rows: list[tuple[str, object]] = [
        ("base", f"`{base.name}` ({base.kind} `{base.source}`{', ' + base.revision if base.revision else ''})"),
        ("base digest", f"`{adapter.base_digest}`"),
        ("objective", adapter.objective),
        ("recipe", f"`{adapter.recipe}` `{adapter.recipe_digest}`"),
        ("steps", f"{adapter.steps:,}"),
        ("tokens learned", f"{adapter.tokens:,}"),
        ("time", f"{adapter.seconds:,.0f} s"),
        ("final loss", f"{adapter.final_loss:.4f}"),
        ("cost", f"${adapter.cost:.4f}" if adapter.cost else "none recorded"),
        ("size", f"{sum(blob.size for blob in adapter.files) / 1e6:.1f} MB"),
        ("made", adapter.created),
    ]
    rows += [(name, f"`{_plain(value)}`") for name, value in settings.items()]
    yield from _table("How it was trained", ("", ""), rows)


def _data(adapter: Adapter, dataset: DatasetVersion | None) -> Iterator[str]:
    rows: list[tuple[str, object]] = [
        ("version", f"`{adapter.dataset}`"),
        ("digest", f"`{adapter.dataset_digest}`"),
        ("examples learned", f"{adapter.examples:,}"),
    ]
    if dataset is not None:
        rows += [(f"part {name}", f"{part.rows:,}") for name, part in sorted(dataset.parts.items())]
        rows += [(f"source {name}", f"{count:,}") for name, count in sorted(dataset.origins.items())]
        rows += [(f"left out: {name}", f"{count:,}") for name, count in sorted(dataset.rejected.items())]
        rows += [("redaction", dataset.redaction), ("state", dataset.state)]
    yield from _table("Data", ("", ""), rows)
    yield "The examples come from recorded use of the agent; their text is in no manifest and not in this card."
    yield ""


def _scores(adapter: Adapter, found: Gates | None) -> Iterator[str]:
    if found is None:
        kept = [(name, f"{value:.4g}") for name, value in sorted(adapter.scores.items())]
        yield from _table("Scores", ("measure", "value"), kept or [("-", "not evaluated")])
        return
    rows = [
        (
            f"`{report.suite}`",
            f"{report.cases:,}",
            f"{report.success:.1%}",
            f"{report.low:.1%} to {report.high:.1%}",
            "-" if report.rival is None else f"{report.rival:.1%}",
            _difference(report.comparison),
        )
        for report in found.suites
    ]
    yield from _table(
        f"Scores, beside `{found.against or 'nobody'}`",
        ("suite", "cases", "right", "95 % interval", "rival", "difference"),
        rows,
    )
    domains = sorted(found.suites[0].domains.items())[:_SHOWN_DOMAINS]
    if len(domains) > 1:
        yield from _table("By domain", ("domain", "right", "cases"), [(name or "-", *both) for name, both in domains])
    if found.calibration is not None:
        known = found.calibration
        yield f"Calibration error {known.error:.3f} ({known.noise:.3f} by chance), Brier score {known.brier:.3f}."
        yield ""


def _gates(found: Gates | None) -> Iterator[str]:
    if found is None:
        return
    rows = [(gate.name, gate.outcome, gate.reason) for gate in found.gates]
    yield from _table(f"Gates: {found.outcome}", ("gate", "outcome", "why"), rows)
    for gate in found.gates:
        if gate.override is not None:
            told = gate.override
            yield f"`{gate.name}` was overridden by {told.by} on {told.time}: {told.because}"
            yield ""
    yield f"The whole result is the object `{found.digest}`."
    yield ""


def _use(adapter: Adapter, base: Model) -> Iterator[str]:
    yield "## Intended use and limits"
    yield ""
    yield f"- It answers for `{adapter.agent}`, under the prompt that it was trained under. Nothing else was measured."
    yield "- It learned from how the agent was used: what seldom occurs there it answers as its base does, or worse."
    yield "- Scores hold for the suites named above and for their cases; intervals say how far they carry."
    yield "- A passed gate says that a threshold held, not that nothing is wrong."
    yield ""
    yield "## Licences"
    yield ""
    yield f"- base `{base.name}`: {base.licence or 'not recorded'}"
    yield "- adapter: what the base's licence and the rights in the recorded interactions allow"
    yield ""


def _difference(comparison: Comparison | None) -> str:
    if comparison is None:
        return "-"
    return f"{comparison.difference:+.1%} ({comparison.low:+.1%} to {comparison.high:+.1%})"


def _table(title: str, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield f"| {' | '.join(headers)} |"
    yield f"|{'---|' * len(headers)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
