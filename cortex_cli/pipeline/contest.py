"""The paired contest: champion and challenger answer the same held-out requests, statistics decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cortex_cli.domain.examples import Generate
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Experiment, Policy
from cortex_cli.evaluate.judges import JudgeName, judge_answer
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.traffic import Request
from cortex_cli.release.experiments import Opening, conclude, open_experiment, read_recorded, record
from cortex_cli.release.ledger import Row, Score

__all__ = ["Contest", "find_contest", "run_contest"]

_CHUNK = 128


@dataclass(frozen=True, slots=True)
class Contest:
    """Who meets whom: agent, champion and challenger with the models that answer for them, and the rule."""

    agent: str
    champion: str
    challenger: str
    models: dict[str, Generate]
    judge: JudgeName
    policy: Policy


def run_contest(
    place: Place,
    contest: Contest,
    requests: Sequence[Request],
    *,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
) -> Experiment:
    """Let both variants answer *requests*, record the paired outcomes, and return the decided experiment.

    A contest that was killed goes on with the units it had not recorded; a decided one is returned.
    """
    experiment = find_contest(place, contest)
    if experiment is not None and experiment.state == "decided":
        return experiment
    if experiment is None:
        opening = Opening(
            agent=contest.agent,
            champion=contest.champion,
            challengers=(contest.challenger,),
            policy=contest.policy,
            replayed=True,
        )
        experiment = open_experiment(place.registry, opening, place.now)
    known = {row.unit for row in read_recorded(place.workspace, experiment)}
    units = [(f"{contest.agent}-{number:05d}", request) for number, request in enumerate(requests)]
    todo = [(unit, request) for unit, request in units if unit not in known]
    for start in range(0, len(todo), _CHUNK):
        record(place.workspace, experiment, _answer(contest, todo[start : start + _CHUNK]))
        watch(min(start + _CHUNK, len(todo)), len(todo))
    rows = read_recorded(place.workspace, experiment)
    return conclude(place.registry, place.objects, experiment, rows, place.now).experiment


def find_contest(place: Place, contest: Contest) -> Experiment | None:
    """Return the experiment of these two that is running or decided; None if they never met."""
    met = [
        experiment
        for experiment in place.registry.snapshot().experiments()
        if experiment.champion == contest.champion
        and experiment.challengers == (contest.challenger,)
        and experiment.state != "stopped"
    ]
    return met[-1] if met else None


def _answer(contest: Contest, units: Sequence[tuple[str, Request]]) -> list[Row]:
    prompts = [(Message("user", request.text),) for _, request in units]
    answers = {variant: model(prompts) for variant, model in contest.models.items()}
    rows: list[Row] = []
    for number, (unit, request) in enumerate(units):
        scores: dict[str, Score] = {}
        for variant, given in answers.items():
            answer = given[number]
            right = not answer.error and judge_answer(contest.judge, answer.text, request.reference)
            scores[variant] = Score(success=float(right), latency=round(answer.seconds, 6), cost=0.0)
        rows.append(Row(unit=unit, scores=scores, domain=request.domain))
    return rows
