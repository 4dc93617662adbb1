"""The data card of a dataset version: Markdown under a YAML header, in the manner of the Hugging Face hub.

It is made of the manifest and of counts. No text of a request or an answer is in it, and no name of a source.
"""

import json
from collections.abc import Iterator, Mapping

from cortex_cli.curate.audit import Audit, Lengths
from cortex_cli.curate.drift import Drift, describe_drift
from cortex_cli.curate.languages import UNKNOWN
from cortex_cli.curate.representation import Balance
from cortex_cli.domain.manifests import DatasetVersion

__all__ = ["render_card", "size_category"]

# The categories of the hub: from each bound on, up to the next one.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LARGEST = "10M<n<100M"
# A language of less than this share is as likely a few misread texts.
_LEAST_LANGUAGE = 0.01
_DETECTED = "detected from scripts and frequent words"


def size_category(rows: int) -> str:
    """Return the hub's category for a dataset of *rows* examples."""
    return next((name for bound, name in _SIZES if rows < bound), _LARGEST)


def render_card(version: DatasetVersion, audit: Audit, drift: Drift | None = None, *, licence: str = "unknown") -> str:
    """Render the card of *version* from its manifest, its *audit*, and the *drift* against its parent."""
    lines = [
        *_header(version, audit, licence),
        *_made_of(version),
        *_balances(audit),
        *_lengths(audit.lengths),
        *_drift(version, drift),
        *_findings(version, audit),
    ]
    return "\n".join(lines) + "\n"


def _header(version: DatasetVersion, audit: Audit, licence: str) -> Iterator[str]:
    yield "---"
    yield f"license: {json.dumps(licence)}"
    languages = _languages(audit)
    if languages:
        yield "language:"
        yield from (f"- {language}" for language in languages)
    yield f"pretty_name: {json.dumps(f'{version.name} {version.version}')}"
    yield "size_categories:"
    yield f"- {size_category(_rows(version))}"
    yield "task_categories:"
    yield "- text-generation"
    yield "tags:"
    yield from ("- cortex", f"- agent:{version.agent}")
    yield "---"
    yield ""
    yield f"# {version.name} {version.version}"
    yield ""
    state = f" It is {version.state}: {version.reason or 'no reason is given'}." if version.state != "live" else ""
    yield f"Curated examples for the agent `{version.agent}`, made from its own recorded use.{state}"
    yield ""


def _made_of(version: DatasetVersion) -> Iterator[str]:
    yield from _table(
        "Parts",
        ("part", "examples", "bytes", "digest"),
        ([name, f"{part.rows:,}", f"{part.size:,}", f"`{part.digest}`"] for name, part in version.parts.items()),
    )
    yield "The part `test` is sealed: training never reads it." if "test" in version.parts else ""
    yield ""
    yield from _table("Where answers come from", ("source", "examples"), _counts(version.origins))
    yield from _table("Left out, and why", ("reason", "interactions"), _counts(version.rejected))
    facts = {
        "recipe": f"`{version.recipe}` {version.recipe_digest}",
        "journal": f"numbers {version.journal[0]:,} to {version.journal[1]:,}",
        "redaction": f"`{version.redaction or 'not recorded'}`",
        "algorithms": ", ".join(f"{name} `{number}`" for name, number in version.algorithms.items()),
        "parent": version.parent,
        "created": version.created,
        "digest": f"`{version.digest}`",
    }
    yield from _table("How it was made", ("", ""), ([word, text] for word, text in facts.items() if text))


def _balances(audit: Audit) -> Iterator[str]:
    yield from ("## Balance", "")
    yield "Shares with intervals that hold together for all groups of a table in 95 of 100 audits (Clopper-Pearson,"
    yield f"Bonferroni). Languages are {_DETECTED}. The sealed part is not counted."
    yield ""
    for balance in audit.balances:
        # A table of one group says nothing that its line does not.
        if len(balance.groups) > 1:
            yield from _balance(balance)
        elif balance.groups:
            yield from (f"All have the {_words(balance.dimension)} `{_cell(balance.groups[0].label)}`.", "")
    for dimension, rates in audit.rates.items():
        rows = (
            [
                _cell(rate.label),
                f"{rate.judged:,}",
                f"{rate.rate:.1%}",
                f"{rate.low:.1%} to {rate.high:.1%}",
                rate.standing,
            ]
            for rate in rates
        )
        yield from _table(
            f"Accepted by {dimension}", (dimension, "judged", "accepted", "interval", "against others"), rows
        )


def _balance(balance: Balance) -> Iterator[str]:
    rows = (
        [
            _cell(group.label),
            f"{group.examples:,}",
            f"{group.share:.1%}",
            f"{group.low:.1%} to {group.high:.1%}",
            "" if group.journal is None else f"{group.journal:.1%}",
            group.against_journal,
        ]
        for group in balance.groups
    )
    title = f"By {_words(balance.dimension)}"
    yield from _table(title, ("label", "examples", "share", "interval", "journal", "against it"), rows)


def _lengths(lengths: tuple[Lengths, ...]) -> Iterator[str]:
    rows = (
        [each.text, unit, *(f"{value:,}" for value in values)]
        for each in lengths
        for unit, values in (("words", each.words), ("characters", each.characters))
        if values
    )
    yield from _table("Lengths", ("text", "unit", "5 %", "25 %", "50 %", "75 %", "95 %", "most"), rows)


def _drift(version: DatasetVersion, drift: Drift | None) -> Iterator[str]:
    yield from ("## Drift against the parent", "")
    if drift is None:
        yield f"Not measured: {'the parent is not readable' if version.parent else 'there is no parent'}."
        yield ""
        return
    yield f"`{version.parent}` has {drift.before:,} examples in open parts, this version {drift.after:,},"
    yield f"and {drift.shared:,} stand in both. Chance of any false alarm below: {drift.error_rate:.0%}."
    yield ""
    yield from (f"- {_words(each.dimension)}: {describe_drift(each)}" for each in drift.movements)
    yield ""


def _findings(version: DatasetVersion, audit: Audit) -> Iterator[str]:
    yield from ("## Known limits", "")
    yield f"- {audit.conflicts.requests:,} requests have different answers, in {audit.conflicts.examples:,} examples."
    yield f"- {len(audit.suspects):,} bursts of near-identical answers from one source are suspected poisoning."
    yield from (
        f"- One {each.kind} is sorted by answer, or flooded: {each.answers:,} answers come in bursts."
        for each in audit.ordered
    )
    yield from (f"- {symptom.what}: {symptom.examples:,} examples." for symptom in audit.symptoms)
    masked = ", ".join(f"{kind} {count:,}" for kind, count in audit.masked.items()) or "none"
    yield f"- Personal data was masked by `{version.redaction or 'rules not recorded'}`; placeholders in the text: {masked}."
    yield "- Masking misses some names and addresses; treat the content as personal data all the same."
    if replayed := version.counts.get("replayed"):
        yield f"- {replayed:,} examples rest on judgements derived from reference answers, not given by people."


def _table(title: str, headers: tuple[str, ...], rows: Iterator[list[str]]) -> Iterator[str]:
    listed = list(rows)
    if not listed:
        return
    yield from (f"### {title}", "")
    yield "| " + " | ".join(headers) + " |"
    yield "|" + " --- |" * len(headers)
    yield from ("| " + " | ".join(row) + " |" for row in listed)
    yield ""


def _counts(counts: Mapping[str, int]) -> Iterator[list[str]]:
    return ([_cell(name), f"{count:,}"] for name, count in counts.items())


def _cell(text: str) -> str:
    # Labels come from producers: they may not close a cell or begin markup.
    return "".join(f"\\{char}" if char in "\\|`*_[]<>" else char for char in text)


def _words(dimension: str) -> str:
    return dimension.replace("_", " ")


def _languages(audit: Audit) -> list[str]:
    counts = audit.profile.counts.get("language", {})
    least = _LEAST_LANGUAGE * max(1, audit.examples)
    found = [name for name, count in counts.items() if name != UNKNOWN and count >= least]
    return sorted(found, key=lambda name: (-counts[name], name))


def _rows(version: DatasetVersion) -> int:
    return sum(part.rows for part in version.parts.values())
