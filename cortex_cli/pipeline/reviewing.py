"""What to ask a person about next, from the journal, with the content to show."""

from collections.abc import Iterator
from typing import NamedTuple

from cortex_cli.curate.queue import Pick, QueueLimits, build_queue
from cortex_cli.curate.verdicts import Verdicts
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.pipeline.place import Place
from cortex_cli.store.journal import Journal

__all__ = ["Question", "plan_review"]


class Question(NamedTuple):
    """An interaction to ask about: why it was picked, its content, and what was said about it so far."""

    pick: Pick
    interaction: Interaction
    feedback: tuple[Feedback, ...]


def plan_review(place: Place, agent: str = "", limits: QueueLimits | None = None) -> list[Question]:
    """Return what to ask about, best first, of *agent* or of all; the journal is read twice and not changed.

    Raises `UsageError` for an agent that neither the registry nor the journal knows.
    """
    with Journal(place.workspace.journal_path) as journal:
        if agent and agent not in journal.counts():
            place.registry.snapshot().agent(agent)
        until = journal.last()
        verdicts = Verdicts(record for _, record in journal.feedback(until=until))

        def read() -> Iterator[Interaction]:
            return (each for _, each in journal.interactions(agent=agent, until=until))

        picks = build_queue(read, verdicts, limits or QueueLimits())
        return [question for pick in picks for question in _question(journal, pick)]


def _question(journal: Journal, pick: Pick) -> Iterator[Question]:
    found = journal.find(pick.id)
    if found is not None:
        yield Question(pick, found, tuple(journal.feedback_on(pick.id)))
