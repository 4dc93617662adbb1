"""`cortex explain`: why an answer failed."""

import textwrap
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import journal, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_lines, print_table, show_text, wants_plain
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from cortex_cli.explain.attribution import Part
    from cortex_cli.explain.explanation import Explanation
    from cortex_cli.explain.neighbours import Neighbour
    from cortex_cli.pipeline.explaining import AdapterReport, ExplainedCluster, FailureReport
    from cortex_cli.pipeline.place import Place
    from cortex_cli.store.journal import Journal

__all__ = ["explain"]

_WIDTH = 80
_MOST_WORDS = 8
_MOST_PARTS = 8
_LONGEST = 480  # characters of one finding: six lines; --json has the whole


def explain(
    interaction: Annotated[str, Argument(metavar="ID", help="id of an interaction")] = "",
    failures: Annotated[str, Option("--failures", metavar="AGENT", help="group the failures of this agent")] = "",
    adapter: Annotated[
        str, Option("--adapter", metavar="ADAPTER", help="what this adapter learned, how it fails")
    ] = "",
    since: Annotated[str, Option("--since", metavar="DATE", help="only answers from this day on")] = "",
    no_model: Annotated[bool, Option("--no-model", help="load no model; words are not weighed")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say why an answer failed: symptoms, words, training examples, and what may mend it.

    With ID one answer, with --failures all failures of an agent in groups, with --adapter what an adapter
    learned and how it fails. Training examples are shown because they are similar, or hold the same text;
    that one of them caused the failure is not claimed.

      cortex explain --failures dispatch --since 2026-01-31
    """
    _check_question(interaction, failures, adapter, since=since)
    from cortex_cli.pipeline.place import open_place

    place = open_place(workspace())
    with journal() as reader:
        if failures:
            _explain_failures(place, reader, failures, since, as_json=as_json)
        elif adapter:
            _explain_adapter(place, reader, adapter, since, as_json=as_json)
        else:
            _explain_interaction(place, reader, interaction, no_model=no_model, as_json=as_json)


def _explain_interaction(place: "Place", reader: "Journal", name: str, *, no_model: bool, as_json: bool) -> None:
    from cortex_cli.pipeline.explaining import explain_interaction, open_no_score, open_score

    found = explain_interaction(place, reader, name, open_model=open_no_score if no_model else open_score)
    emit("explain", {"interaction": found}, lambda console: _show_explanation(console, found), as_json=as_json)


def _explain_failures(place: "Place", reader: "Journal", agent: str, since: str, *, as_json: bool) -> None:
    from cortex_cli.pipeline.explaining import explain_failures

    found = explain_failures(place, reader, agent, since=since)
    emit("explain", {"failures": found}, lambda console: _show_failures(console, found), as_json=as_json)


def _explain_adapter(place: "Place", reader: "Journal", name: str, since: str, *, as_json: bool) -> None:
    from cortex_cli.pipeline.explaining import explain_adapter

    found = explain_adapter(place, reader, name, since=since)
    emit("explain", {"adapter": found}, lambda console: _show_adapter(console, found), as_json=as_json)


def _check_question(interaction: str, *others: str, since: str) -> None:
    given = sum(map(bool, (interaction, *others)))
    if given != 1:
        raise UsageError(
            f"explain one thing at a time: ID, --failures AGENT or --adapter ADAPTER; found {given or 'none'}",
            hint="cortex explain --help",
            state="nothing was changed",
        )
    if interaction and since:
        raise UsageError(
            "'--since' goes with --failures or --adapter, not with ID",
            hint=f"cortex explain {interaction}",
            state="nothing was changed",
        )


def _show_explanation(console: "Console", found: "Explanation") -> None:
    from cortex_cli.explain.cases import read_request
    from cortex_cli.explain.mend import describe_suggestion

    case = found.case
    told = [case.id, f"agent {case.agent}", f"variant {case.variant}" if case.variant else "", case.time]
    _write(console, ", ".join(filter(None, told)), style="bold")
    replayed = "replayed: derived from a reference answer, not observed" if case.replayed else ""
    asked = [("request", read_request(case.messages)), ("answer", case.output), ("expected", case.expected)]
    _rows(console, [*asked, ("verdict", replayed)])
    _title(console, "what went wrong")
    _rows(console, [(symptom.name, symptom.sentence) for symptom in found.symptoms] or [("", "nothing was detected")])
    _show_words(console, found)
    _show_training(console, found)
    if found.suggestions:
        _title(console, "what may mend it (no effect is predicted)")
        _rows(console, [("", describe_suggestion(suggestion)) for suggestion in found.suggestions])
    _show_notes(console, found.notes)


def _show_words(console: "Console", found: "Explanation") -> None:
    weighed = found.attribution
    if weighed is None:
        return
    _title(console, "which words mattered: log-probability of the answer that goes without the word")
    against = "" if weighed.against_logprob is None else f", the expected one {weighed.against_logprob:.2f}"
    _write(console, f"the answer has {weighed.answer_logprob:.2f}{against}", indent=2)
    parts = sorted(weighed.parts, key=lambda part: -abs(_pull(part)))[:_MOST_WORDS]
    widest = max((abs(_pull(part)) for part in parts), default=0.0) or 1.0
    rows = []
    for part in parts:
        bar = "#" * round(abs(_pull(part)) / widest * 8)
        rival = "" if part.contrast is None else f"{part.contrast:+.2f}"
        rows.append((f"{part.weight:+.2f}", rival, bar, show_text(part.text, 40)))
    print_table(console, ("  FOR IT", "AGAINST EXPECTED", "", "WORD"), [(f"  {row[0]}", *row[1:]) for row in rows])
    _write(console, "above 0 the word spoke for the answer, or for it and against the expected one", indent=2)


def _pull(part: "Part") -> float:
    return part.weight if part.contrast is None else part.contrast


def _show_training(console: "Console", found: "Explanation") -> None:
    from cortex_cli.explain.spans import describe_span

    if not found.basis.rows:
        return
    learned = "learned from" if found.basis.trained else "not learned from"
    _title(console, f"in {found.basis.dataset}, {found.basis.rows:,} training examples ({learned})")
    spans = [*found.answer_spans, *found.request_spans]
    _rows(console, [("", describe_span(span)) for span in spans] or [("", "no telling text of it stands there")])
    if found.similar:
        _title(console, "similar training examples (alike, which says nothing of cause)")
        for each in found.similar:
            _write(console, f"{_likeness(each)}  {each.id}  {each.answers_as}  {each.source}", indent=2)
            _write(console, f"{each.request} -> {each.answer}", indent=6)


def _likeness(each: "Neighbour") -> str:
    words = "words    -" if each.bm25 is None else f"words {each.bm25:4.1f}"
    return words + (" letters    -" if each.cosine is None else f" letters {each.cosine:.2f}")


def _show_failures(console: "Console", found: "FailureReport") -> None:
    since = f" since {found.since}" if found.since else ""
    if not found.failures:
        told = f"nothing to explain: no failure among {found.judged:,} judged of {found.seen:,} answers"
        _write(console, f"{told} of '{found.agent}'{since}")
        return
    replayed = f", {found.replayed:,} of them replayed" if found.replayed else ""
    head = f"{found.failures:,} failures among {found.judged:,} judged of {found.seen:,} answers of '{found.agent}'"
    _write(console, f"{head}{since}{replayed}", style="bold")
    _rows(console, [(name, f"{count:,}") for name, count in found.symptoms.items()])
    for number, cluster in enumerate(found.clusters, 1):
        _show_cluster(console, number, cluster, found)
    if found.more:
        _write(console, f"and {found.more:,} smaller groups; --since DATE looks at fewer failures")
    _show_notes(console, found.notes)


def _show_cluster(console: "Console", number: int, explained: "ExplainedCluster", found: "FailureReport") -> None:
    from cortex_cli.explain.cases import read_request
    from cortex_cli.explain.mend import describe_suggestion

    cluster = explained.cluster
    joined = {"confusion": "same mistake", "requests": "similar requests", "alone": "alone"}[cluster.by]
    _title(console, f"{number}. {cluster.name} ({cluster.size:,}, {cluster.share:.0%}, {joined})")
    if len(cluster.days) > 1:
        _write(
            console, f"by day to {max(cluster.days)}: {' '.join(map(str, list(cluster.days.values())[-14:]))}", indent=2
        )
    if cluster.expected and found.basis.rows:
        total = f"of {found.basis.rows:,} training examples"
        _write(
            console, f"{explained.trained:,} {total} teach the right answer, {explained.rival:,} the other", indent=2
        )
    for name, count in cluster.confusions.items() if not cluster.expected else ():
        _write(console, f"{count:,} x {name}", indent=2)
    for case in explained.cases:
        _write(console, f"{case.id}  {read_request(case.messages)} -> {case.output or case.error}", indent=4)
    for suggestion in explained.suggestions:
        _write(console, f"may mend it: {describe_suggestion(suggestion)}", indent=2)


def _show_adapter(console: "Console", found: "AdapterReport") -> None:
    from cortex_cli.explain.mend import describe_suggestion

    basis = found.failures.basis
    _write(console, f"{found.adapter} learned from {basis.dataset}, {basis.rows:,} examples", style="bold")
    parts = (
        ("domains", found.domains),
        ("sources", found.sources),
        ("months", found.months),
        ("answers", found.answers),
    )
    _rows(console, [(name, _split(counts)) for name, counts in parts if counts])
    _rows(console, [("variants", ", ".join(found.variants) or "none carries it")])
    if found.conflicts:
        _title(console, f"training examples that contradict each other ({len(found.conflicts)} shown)")
        _rows(console, [("", describe_suggestion(conflict)) for conflict in found.conflicts])
    _title(console, "failures of its variants")
    _show_failures(console, found.failures)


def _split(counts: "dict[str, int]") -> str:
    shown = [f"{show_text(name) or '-'} {count:,}" for name, count in list(counts.items())[:_MOST_PARTS]]
    more = [f"and {len(counts) - _MOST_PARTS:,} more"] if len(counts) > _MOST_PARTS else []
    return ", ".join([*shown, *more])


def _show_notes(console: "Console", notes: "Iterable[str]") -> None:
    for note in notes:
        _write(console, f"note: {note}")


def _title(console: "Console", text: str) -> None:
    console.print()
    _write(console, text, style="bold")


def _rows(console: "Console", rows: "Iterable[tuple[str, str]]") -> None:
    """Print a column of names and one of texts, wrapped; a row without a name begins with a dash."""
    kept = [(name, text) for name, text in rows if text]
    width = max((len(name) for name, _ in kept), default=0) + 4
    for name, text in kept:
        _write(console, text, mark=f"  {name}".ljust(width) if name else "  - ")


def _write(console: "Console", text: str, *, indent: int = 0, mark: str = "", style: str = "") -> None:
    """Print *text*, which may be a user's, in at most six lines of 80 columns; with --plain on one line."""
    text = show_text(text, _LONGEST)
    if wants_plain():
        print_lines(console, ["\t".join(filter(None, [mark.strip(" -"), text]))])
        return
    mark = mark or " " * indent
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_on_hyphens=False,
        break_long_words=False,
    )
    for line in lines:
        console.print(line, style=style or None)
