"""What people said about an interaction, joined: the last word of every judge, by id, alias and episode."""

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from cortex_cli.curate.normal import hash64
from cortex_cli.curate.spec import FeedbackSpec
from cortex_cli.curate.spool import Spool
from cortex_cli.domain.interactions import Feedback

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Asked", "Judgements", "Opinion"]

_NO, _YES, _SCORE, _UNSCALED, _COMMENT, _DEMONSTRATION, _NOTHING = range(7)
# What counts as one thing that a judge says last: a score does not take back a yes.
_SAYING = {_NO: 0, _YES: 0, _SCORE: 1, _UNSCALED: 1}


class Opinion(NamedTuple):
    """All that was said about one answer: how many said yes and no, *scores* on [0, 1], the last demonstration.

    *unscaled* tells of a score that cannot be compared, *stamp* how the demonstration was redacted.
    """

    yes: int = 0
    no: int = 0
    scores: tuple[float, ...] = ()
    unscaled: bool = False
    commented: bool = False
    demonstration: str = ""
    stamp: str = ""
    replayed: bool = False

    @property
    def spoken(self) -> bool:
        """Return whether anybody gave a verdict or a score."""
        return bool(self.yes or self.no or self.scores or self.unscaled)


class Asked(NamedTuple):
    """What an interaction is called: its id and aliases, and its episode, '' for none."""

    names: tuple[str, ...]
    episode: str


class Judgements:
    """The feedback of a journal range, to be asked for by any name of an interaction.

    In memory: about 40 bytes per judgement; the texts of demonstrations are in *spool*. Targets are told apart by 64
    bits of their hash: among a million targets and a million names, one is mistaken with probability 5e-8.
    """

    def __init__(self, feedback: Iterable[tuple[int, Feedback]], spec: FeedbackSpec, spool: Spool) -> None:
        self.count = 0
        self.first = 0
        self.last = 0
        self._spec = spec
        self._spool = spool
        self._stamps: list[str] = []
        # target and judge are hashes; a text has a place and a length in the spool; mark is stamp * 2 + replayed.
        self._rows: dict[str, array[Any]] = {name: array(kind) for name, kind in _COLUMNS.items()}
        for seq, record in feedback:
            self._add(seq, record)
        self._sort()

    def opinions(self, asked: Sequence[Asked]) -> list[Opinion | None]:
        """Return what was said of each that is *asked* for; None where nobody said anything.

        A verdict on the episode holds where nobody judged the interaction itself. A demonstration on the episode is
        not looked at here.
        """
        return self._opinions(asked, "own")

    def closing_opinions(self, asked: Sequence[Asked]) -> list[Opinion | None]:
        """Return the same for the last interactions of their episodes: demonstrations on an episode are for them."""
        return self._opinions(asked, "episode")

    def demonstrated(self, asked: Sequence[Asked]) -> list[bool]:
        """Tell of each whether somebody demonstrated, for its whole episode, what should have been answered."""
        if not len(self._demonstrated):
            return [False] * len(asked)
        episodes = np.array([hash64(each.episode) if each.episode else 0 for each in asked], np.uint64)
        found: list[bool] = np.isin(episodes, self._demonstrated).tolist()
        return found

    def _add(self, seq: int, record: Feedback) -> None:
        self.count += 1
        self.first = min(self.first or seq, seq)
        self.last = max(self.last, seq)
        saying, score = _read(record)
        if saying == _NOTHING or record.annotator not in self._spec.annotators:
            return
        text = record.demonstration.encode() if saying == _DEMONSTRATION else b""
        if record.redaction not in self._stamps:
            self._stamps.append(record.redaction)
        mark = self._stamps.index(record.redaction) * 2 + (record.annotator == "replayed")
        place = self._spool.add(text) if text else 0
        values = (hash64(record.target), hash64(record.name), seq, place, score, len(text), mark, saying)
        for column, value in zip(self._rows.values(), values, strict=True):
            column.append(value)

    def _sort(self) -> None:
        found = {name: np.frombuffer(column, _COLUMNS[name]) for name, column in self._rows.items() if len(column)}
        if not found:
            found = {name: np.empty(0, kind) for name, kind in _COLUMNS.items()}
        order = np.lexsort((found["seq"], found["target"]))
        self._found: dict[str, NDArray[Any]] = {name: column[order] for name, column in found.items()}
        self._rows.clear()
        self._demonstrated = np.unique(self._found["target"][self._found["saying"] == _DEMONSTRATION])

    def _opinions(self, asked: Sequence[Asked], closing: Literal["own", "episode"]) -> list[Opinion | None]:
        if not len(self._found["target"]):
            return [None] * len(asked)
        own = self._spans([each.names for each in asked])
        episodes = self._spans([(each.episode,) if each.episode else () for each in asked])
        return [self._join(own[at], episodes[at], closing) for at in range(len(asked))]

    def _spans(self, names: Sequence[tuple[str, ...]]) -> list[list[int]]:
        """Return for each the rows of feedback on any of its names, in the order of the journal."""
        owners = [at for at, each in enumerate(names) for _ in each]
        hashes = np.array([hash64(name) for each in names for name in each], np.uint64)
        low = np.searchsorted(self._found["target"], hashes, "left")
        high = np.searchsorted(self._found["target"], hashes, "right")
        spans: list[list[int]] = [[] for _ in names]
        for at in np.flatnonzero(low < high).tolist():
            spans[owners[at]] += range(int(low[at]), int(high[at]))
        return [sorted(set(rows), key=self._found["seq"].__getitem__) if len(rows) > 1 else rows for rows in spans]

    def _join(self, own: list[int], episode: list[int], closing: str) -> Opinion | None:
        if not own and not episode:
            return None
        opinion, whole = self._fold(own), self._fold(episode)
        if not opinion.spoken:
            opinion = whole._replace(
                demonstration=opinion.demonstration,
                stamp=opinion.stamp,
                commented=opinion.commented or whole.commented,
                replayed=opinion.replayed or (whole.spoken and whole.replayed),
            )
        if closing == "episode" and whole.demonstration and not opinion.demonstration:
            opinion = opinion._replace(demonstration=whole.demonstration, stamp=whole.stamp, replayed=whole.replayed)
        return opinion

    def _fold(self, rows: list[int]) -> Opinion:
        if not rows:
            return Opinion()
        last: dict[tuple[int, int], int] = {}
        demonstration, commented, replayed = -1, False, False
        for row in rows:
            saying = int(self._found["saying"][row])
            replayed = replayed or bool(int(self._found["mark"][row]) & 1)
            if saying == _DEMONSTRATION:
                demonstration = row
            elif saying == _COMMENT:
                commented = True
            else:
                last[_SAYING[saying], int(self._found["judge"][row])] = row
        said = [(int(self._found["saying"][row]), float(self._found["score"][row])) for row in last.values()]
        text, stamp = self._demonstration(demonstration)
        return Opinion(
            yes=sum(saying == _YES for saying, _ in said),
            no=sum(saying == _NO for saying, _ in said),
            scores=tuple(sorted(score for saying, score in said if saying == _SCORE)),
            unscaled=any(saying == _UNSCALED for saying, _ in said),
            commented=commented,
            demonstration=text,
            stamp=stamp,
            replayed=replayed,
        )

    def _demonstration(self, row: int) -> tuple[str, str]:
        if row < 0:
            return "", ""
        found = self._found
        text = self._spool.read(int(found["place"][row]), int(found["length"][row])).decode()
        return text, self._stamps[int(found["mark"][row]) // 2]


# One row of feedback, by the codes that `array` and numpy share.
_COLUMNS = {
    "target": "Q",
    "judge": "Q",
    "seq": "q",
    "place": "q",
    "score": "d",
    "length": "i",
    "mark": "i",
    "saying": "b",
}


def _read(record: Feedback) -> tuple[int, float]:
    """Return what *record* says, and its score on [0, 1]."""
    if record.kind == "boolean" and record.thumbs is not None:
        return (_YES if record.thumbs else _NO), 0.0
    if record.kind == "comment":
        return _COMMENT, 0.0
    if record.kind == "demonstration" and record.demonstration:
        return _DEMONSTRATION, 0.0
    if record.kind != "score" or record.score is None:
        return _NOTHING, 0.0
    scale = record.scale
    if scale is None or not scale.low < scale.high:
        return _UNSCALED, 0.0
    return _SCORE, (record.score - scale.low) / (scale.high - scale.low)
