"""Whether an answer is trusted: what is valid, what people said, the quality rule, the answer's own outcome."""

from typing import NamedTuple

from cortex_cli.curate.judging import Opinion
from cortex_cli.curate.quality import QualityRule, resolve_quality
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.domain.interactions import Interaction

__all__ = ["REJECTED", "VALIDITY", "Rules", "Ruling"]

# Reasons for which a record is no sound example of anything: what passes them is the silver layer.
VALIDITY = frozenset(
    {
        "other_agent",
        "other_domain",
        "no_prompt",
        "history_missing",
        "sidechain",
        "too_long",
        "not_redacted",
        "error",
        "empty_output",
    }
)
# Reasons that tell an answer was wrong, so that it can stand beside a right one.
REJECTED = frozenset({"judged_wrong", "low_score", "outcome_failure"})


class Ruling(NamedTuple):
    """Whether an answer is trusted: *answer* to learn, *rejected* to avoid, or *reason* why neither.

    *source* is "accepted", "demonstration", "supervised", "quality", or "correction" for a demonstration that
    replaces a wrong answer.
    """

    reason: str = ""
    source: str = ""
    answer: str = ""
    rejected: str = ""
    replayed: bool = False


class Rules:
    """The rules of a spec, ready to be applied."""

    def __init__(self, spec: CurateSpec) -> None:
        self.quality: QualityRule = resolve_quality(spec.quality)
        self._spec = spec

    def check(self, record: Interaction) -> str:
        """Return the reason why *record* cannot be an example of this dataset whatever people say; '' when it can."""
        spec = self._spec
        if record.agent != spec.agent:
            return "other_agent"
        if spec.domains and record.domain not in spec.domains:
            return "other_domain"
        if not any(message.role == "user" and message.content.strip() for message in record.messages):
            return "no_prompt"
        if record.meta.get("history") == "missing":
            return "history_missing"
        if record.meta.get("sidechain") == "true" and not spec.sidechains:
            return "sidechain"
        return ""

    def rule(self, record: Interaction, opinion: Opinion | None) -> Ruling:
        """Decide on *record*: a demonstration first, then what people said, then how it came, then rule and outcome.

        A person outranks a rule: what somebody judged is not measured against the limits of `[quality]`.
        """
        said = opinion or Opinion()
        if said.demonstration and "demonstration" in self._spec.sources:
            return self._measured(record, _rule_demonstration(record, said))
        source, reason = self._trust(record, said)
        if reason:
            return Ruling(reason)
        if source not in self._spec.sources:
            return Ruling("source_not_wanted")
        return self._measured(record, Ruling("", source, record.output, "", said.replayed or record.replayed))

    def _trust(self, record: Interaction, said: Opinion) -> tuple[str, str]:
        """Return as what the answer of *record* is trusted, or the reason why it is not."""
        if self._judged(said):
            return "accepted", _unusable(record) or self._verdict(record, said)
        if _is_supervised(record):
            return "supervised", _unusable(record)
        if self.quality.active:
            return "quality", self.quality.refuse(record) or ("" if record.output.strip() else "empty_output")
        return "accepted", _unusable(record) or self._outcome(record, said)

    def _outcome(self, record: Interaction, said: Opinion) -> str:
        if self._spec.feedback.threshold is not None:
            # An outcome is no score, and a score without a scale is none either.
            return "no_scale" if said.unscaled else "unjudged"
        return {"success": "", "failure": "outcome_failure"}.get(record.outcome, "unjudged")

    def _judged(self, said: Opinion) -> bool:
        return bool(said.yes or said.no or (said.scores and self._spec.feedback.threshold is not None))

    def _verdict(self, record: Interaction, said: Opinion) -> str:
        """Return the reason why judges do not accept the answer, '' when they do."""
        spec = self._spec.feedback
        scores = () if spec.threshold is None else said.scores
        if said.yes + said.no + len(scores) < spec.judges:
            return "few_judges"
        if said.commented and spec.comments == "hold":
            return "commented"
        if reason := self._count_votes(said):
            return reason
        if reason := self._weigh_scores(said):
            return reason
        return "not_successful" if spec.needs_success and record.outcome != "success" else ""

    def _count_votes(self, said: Opinion) -> str:
        if said.yes and said.no and self._spec.feedback.disagreement == "unanimous":
            return "judges_disagree"
        if said.yes == said.no:
            return "judges_disagree" if said.yes else ""
        return "judged_wrong" if said.no > said.yes else ""

    def _weigh_scores(self, said: Opinion) -> str:
        spec = self._spec.feedback
        if spec.threshold is None or not said.scores:
            return ""
        score = min(said.scores) if spec.scores == "lowest" else sum(said.scores) / len(said.scores)
        enough = score > spec.threshold if spec.strict else score >= spec.threshold
        return "" if enough else "low_score"

    def _measured(self, record: Interaction, ruling: Ruling) -> Ruling:
        size = sum([len(message.content) for message in record.messages]) + len(ruling.answer)
        return Ruling("too_long") if size > self._spec.max_chars else ruling


def _unusable(record: Interaction) -> str:
    """Return why the answer of *record* is none, whatever people say of it."""
    if record.error or record.outcome == "error":
        return "error"
    return "" if record.output.strip() else "empty_output"


def _is_supervised(record: Interaction) -> bool:
    return record.meta.get("supervised") == "true"


def _rule_demonstration(record: Interaction, said: Opinion) -> Ruling:
    answer, given = said.demonstration, record.output
    wrong = given if given.split() != answer.split() else ""
    source = "correction" if wrong else "demonstration"
    return Ruling("", source, answer, wrong, said.replayed or record.replayed)
