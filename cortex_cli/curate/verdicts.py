"""What was said about interactions, small enough to keep for a million of them: the last word of every judge."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from cortex_cli.curate.normal import hash64
from cortex_cli.domain.interactions import Feedback, Interaction

__all__ = ["Spoken", "Verdicts", "is_accepted"]

_NO, _YES, _SCORE, _DEMONSTRATION = range(4)


class Spoken(NamedTuple):
    """What was said of one answer: how many said yes and no, *scores* on [0, 1], whether it was corrected.

    *people* are hashes of the names of the persons among the judges who gave a verdict or a correction.
    """

    yes: int = 0
    no: int = 0
    scores: tuple[float, ...] = ()
    corrected: bool = False
    people: frozenset[int] = frozenset()


class Verdicts:
    """Feedback by its target; 35 bytes per judgement in memory. Names are told apart by 64 bits of their hash."""

    def __init__(self, feedback: Iterable[Feedback]) -> None:
        rows: list[array[int]] = [array("Q"), array("Q")]
        values, marks = array("d"), array("b")
        for record in feedback:
            saying, value = _read(record)
            if saying < 0:
                continue
            rows[0].append(hash64(record.target))
            rows[1].append(hash64(record.name))
            values.append(value)
            marks.append(2 * saying + (record.annotator == "human"))
        order = sorted(range(len(values)), key=rows[0].__getitem__)
        self._targets, self._judges = (array("Q", (row[at] for at in order)) for row in rows)
        self._values = array("d", (values[at] for at in order))
        self._marks = array("b", (marks[at] for at in order))

    def on(self, interaction: Interaction) -> Spoken:
        """Return what was said of *interaction* under its id or an alias, or else of its episode."""
        own = self._fold((interaction.id, *interaction.aliases))
        if own != Spoken() or not interaction.episode:
            return own
        return self._fold((interaction.episode,))

    def _fold(self, names: tuple[str, ...]) -> Spoken:
        rows = [row for name in names for row in self._rows(name)]
        if not rows:
            return Spoken()
        # A score does not take back a yes, so the last of either counts.
        last = {(self._marks[row] // 2 >= _SCORE, self._judges[row]): row for row in rows}
        said = [self._marks[row] // 2 for row in last.values()]
        return Spoken(
            yes=said.count(_YES),
            no=said.count(_NO),
            scores=tuple(sorted(self._values[row] for row in last.values() if self._marks[row] // 2 == _SCORE)),
            corrected=any(self._marks[row] // 2 == _DEMONSTRATION for row in rows),
            people=frozenset(self._judges[row] for row in rows if self._marks[row] % 2),
        )

    def _rows(self, name: str) -> range:
        target = hash64(name)
        return range(bisect_left(self._targets, target), bisect_right(self._targets, target))


def is_accepted(interaction: Interaction, spoken: Spoken) -> bool | None:
    """Tell whether the answer of *interaction* was right, by most of its judges or else by its outcome; None if open."""
    if spoken.yes != spoken.no:
        return spoken.yes > spoken.no
    if spoken.yes:
        return None
    if spoken.corrected:
        return False
    return {"success": True, "failure": False, "error": False}.get(interaction.outcome)


def _read(record: Feedback) -> tuple[int, float]:
    if record.kind == "boolean" and record.thumbs is not None:
        return (_YES if record.thumbs else _NO), 0.0
    if record.kind == "demonstration":
        return _DEMONSTRATION, 0.0
    scale = record.scale
    if record.score is None or scale is None or not scale.low < scale.high:
        return -1, 0.0
    return _SCORE, (record.score - scale.low) / (scale.high - scale.low)
