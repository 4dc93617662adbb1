"""What people said about an interaction, joined: verdicts that agree, disagree or are missing."""

from collections.abc import Iterable
from typing import NamedTuple

from cortex_cli.domain.interactions import Feedback, Interaction

__all__ = ["Judgements", "Opinion", "Ruling"]


class Opinion(NamedTuple):
    """All that was said about one target: the last verdict of each judge by name, the last demonstration."""

    verdicts: dict[str, bool]
    demonstration: str = ""
    replayed: bool = False


class Ruling(NamedTuple):
    """Whether an answer is trusted: *answer* to learn, *rejected* to avoid, or *reason* why neither.

    *source* is "accepted", "demonstration", or "correction" for a demonstration that replaces a wrong answer.
    """

    reason: str = ""
    source: str = ""
    answer: str = ""
    rejected: str = ""
    replayed: bool = False


class Judgements:
    """The feedback of a journal range by its target.

    In memory: one entry per judged target, about 300 bytes and its demonstration. Of one judge the last
    verdict counts, in the order of the journal. Scores and comments carry no verdict here.
    """

    def __init__(self, feedback: Iterable[tuple[int, Feedback]]) -> None:
        self.count = 0
        self.first = 0
        self.last = 0
        self._opinions: dict[str, Opinion] = {}
        for seq, record in sorted(feedback, key=lambda pair: pair[0]):
            self.count += 1
            self.first = self.first or seq
            self.last = seq
            self._add(record)

    def rule(self, interaction: Interaction, sources: tuple[str, ...]) -> Ruling:
        """Decide on *interaction*: a demonstration first, then verdicts, then its own outcome."""
        opinion = self._opinions.get(interaction.id, Opinion({}))
        if opinion.demonstration and "demonstration" in sources:
            return _rule_demonstration(interaction, opinion)
        if interaction.episode and not opinion.verdicts:
            opinion = self._opinions.get(interaction.episode, opinion)
        if reason := _refusal(interaction, set(opinion.verdicts.values())):
            return Ruling(reason)
        if "accepted" not in sources:
            return Ruling("source_not_wanted")
        return Ruling("", "accepted", interaction.output, "", opinion.replayed or interaction.replayed)

    def _add(self, record: Feedback) -> None:
        opinion = self._opinions.get(record.target, Opinion({}))
        replayed = opinion.replayed or record.annotator == "replayed"
        if record.kind == "boolean" and record.thumbs is not None:
            verdicts = opinion.verdicts | {record.name: record.thumbs}
            self._opinions[record.target] = opinion._replace(verdicts=verdicts, replayed=replayed)
        elif record.kind == "demonstration" and record.target_kind == "interaction":
            self._opinions[record.target] = opinion._replace(demonstration=record.demonstration, replayed=replayed)


def _rule_demonstration(interaction: Interaction, opinion: Opinion) -> Ruling:
    answer, given = opinion.demonstration, interaction.output
    wrong = given if given.split() != answer.split() else ""
    source = "correction" if wrong else "demonstration"
    return Ruling("", source, answer, wrong, opinion.replayed or interaction.replayed)


def _refusal(interaction: Interaction, verdicts: set[bool]) -> str:
    if interaction.error or interaction.outcome == "error":
        return "error"
    if not interaction.output.strip():
        return "empty_output"
    if len(verdicts) > 1:
        return "judges_disagree"
    if verdicts:
        return "" if True in verdicts else "judged_wrong"
    return {"success": "", "failure": "outcome_failure"}.get(interaction.outcome, "unjudged")
