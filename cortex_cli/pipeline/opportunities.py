"""Opportunities: domains in which an agent is often asked, often wrong, and could learn better from what is known."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import msgspec

from cortex_cli.curate.quality import map_quality
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.pipeline.cases import judge
from cortex_cli.pipeline.job import Job
from cortex_cli.pipeline.place import Place
from cortex_cli.store.journal import Journal
from cortex_cli.train.study import PerSpec

__all__ = ["Opportunity", "find_opportunities", "rank_opportunities", "task_quality"]

# Events of the journal that are looked at, the newest: a million would take seconds.
_RECENT = 200_000


class Opportunity(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent does in one domain: tasks, their mean quality, good examples, and whether the rule holds.

    *improvement_potential* is what is missing to a quality of 1, *weight* = tasks x potential x examples / 100, and
    *priority* high above 50, medium above 20. *reason* says which condition does not hold, '' when all do.
    """

    domain: str
    task_count: int
    avg_quality: float
    training_examples: int
    improvement_potential: float
    weight: float
    priority: Literal["high", "medium", "low"]
    reason: str = ""


def find_opportunities(place: Place, job: Job, examples: Iterable[Example], spec: PerSpec) -> list[Opportunity]:
    """Return every domain of the agent's newest tasks and of *examples* by priority, with whether *spec*'s rule holds."""
    tasks: dict[str, list[float]] = defaultdict(list)
    with Journal(place.workspace.journal_path) as journal:
        after = max(0, journal.last() - _RECENT)
        said: dict[str, list[Feedback]] = defaultdict(list)
        for _, record in journal.feedback(after=after):
            said[record.target].append(record)
        for _, interaction in journal.interactions(agent=job.spec.agent, after=after):
            names = (interaction.id, *interaction.aliases)
            quality = task_quality(interaction, [each for name in names for each in said.get(name, ())])
            if quality is not None:
                tasks[interaction.domain].append(quality)
    good: dict[str, int] = defaultdict(int)
    for example in examples:
        good[example.domain] += example.source != "pair" and _quality_of(example) >= spec.good
    return rank_opportunities(tasks, good, spec)


def rank_opportunities(tasks: dict[str, list[float]], good: dict[str, int], spec: PerSpec) -> list[Opportunity]:
    """Return an opportunity per domain of *tasks*, qualities by domain, and *good* examples, the heaviest first."""
    names = spec.only or tuple(sorted({*tasks, *good} - {""}))
    found = [_weigh(name, tasks.get(name, []), good.get(name, 0), spec) for name in names]
    return sorted(found, key=lambda each: (bool(each.reason), -each.weight, each.domain))


def task_quality(interaction: Interaction, feedback: Iterable[Feedback]) -> float | None:
    """Return how good an answer was on [0, 1]: what people said, else its recorded quality, else its outcome; or None."""
    judged = judge(feedback)
    if judged.judges:
        return 1 - judged.rejected / judged.judges
    if judged.expected:
        return float(judged.expected == interaction.output)
    if (quality := map_quality(interaction)) is not None:
        return quality
    return {"success": 1.0, "failure": 0.0, "error": 0.0}.get(interaction.outcome)


def _weigh(name: str, qualities: list[float], examples: int, spec: PerSpec) -> Opportunity:
    mean = sum(qualities) / len(qualities) if qualities else 0.0
    potential = 1 - mean
    weight = len(qualities) * potential * examples / 100
    faults = [
        (len(qualities) <= spec.min_tasks, f"{len(qualities)} tasks, more than {spec.min_tasks} are asked for"),
        (mean >= spec.max_quality, f"mean quality {mean:.2f}, below {spec.max_quality:g} is asked for"),
        (examples <= spec.min_examples, f"{examples} good examples, more than {spec.min_examples} are asked for"),
    ]
    return Opportunity(
        domain=name,
        task_count=len(qualities),
        avg_quality=round(mean, 4),
        training_examples=examples,
        improvement_potential=round(potential, 4),
        weight=round(weight, 2),
        priority="high" if weight > 50 else "medium" if weight > 20 else "low",
        reason="; ".join(told for fault, told in faults if fault),
    )


def _quality_of(example: Example) -> float:
    # What people accepted, demonstrated or corrected is right by their word; only measured quality has a number.
    return example.quality if example.quality is not None else float(example.source != "quality")
