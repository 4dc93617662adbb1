"""Search: which base, rank, learning rate, epochs and mixture, by Optuna, within one budget.

Proposals are those of a tree-structured Parzen estimator (Bergstra et al. 2011); a proposal is tried on growing shares
of the data, and goes on while it is in the best part of those that got as far (asynchronous successive halving, Li et
al. 2020, arXiv:1810.05934). What was tried is in Optuna's journal file: a killed search goes on with the same trial.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from cortex_cli.domain.digests import digest_value, hex_of
from cortex_cli.domain.errors import CortexError, MissingExtraError
from cortex_cli.train.spec import TrainSpec
from cortex_cli.train.study import SearchSpec

__all__ = ["Attempt", "Choice", "Found", "Tried", "apply_choice", "plan_shares", "require_search_extra", "run_search"]

_STUDY = "search"
# Below as many proposals nothing is known yet, so they are drawn at random.
_RANDOM = 4
_RUNGS = 3


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What one trial tries; the rest is the recipe's."""

    base: str
    rank: int
    learning_rate: float
    epochs: float
    mixture: float


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A trial: its choice, how it ended, and its *score* on each share of the data that it saw.

    *score* is that of the largest share; a trial that failed says why in *reason*, one that was stopped how it stood.
    """

    number: int
    choice: Choice | None
    state: Literal["complete", "stopped", "failed"]
    score: float | None
    shares: dict[str, float]
    seconds: float
    reason: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found: its *best* trial, None when none saw the whole data, all trials, and why it *ended*."""

    best: Tried | None
    tried: tuple[Tried, ...]
    seconds: float
    cost: float
    ended: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How a search works: *train* a choice on a share of the data and return its score; dollars per hour; the clock."""

    train: Callable[[Choice, float], float]
    rate: float = 0.0
    clock: Callable[[], float] = time.monotonic
    watch: Callable[[str], None] = lambda _line: None


def require_search_extra() -> None:
    """Raise `MissingExtraError` unless Optuna can be imported."""
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise MissingExtraError("[train.search]", "search")


def apply_choice(spec: TrainSpec, choice: Choice) -> TrainSpec:
    """Return the table that trains *choice* and decides nothing more: the winner's is a recipe of its own.

    The ratio of alpha to rank stays that of *spec*, so that a rank is not a learning rate in disguise.
    """
    lora = msgspec.structs.replace(spec.lora, rank=choice.rank, alpha=spec.lora.alpha / spec.lora.rank * choice.rank)
    loop = msgspec.structs.replace(spec.loop, learning_rate=choice.learning_rate, epochs=choice.epochs)
    return msgspec.structs.replace(
        spec, base=choice.base, mixture=choice.mixture, lora=lora, loop=loop, search=None, predict=None
    )


def plan_shares(spec: SearchSpec) -> tuple[float, ...]:
    """Return the growing shares of the data on which a trial is tried, the whole last.

    With a factor of 3: the whole for fewer than 3 trials, a third and the whole for fewer than 9, else a ninth too.
    """
    if spec.halving < 2:
        return (1.0,)
    rungs = min(_RUNGS, 1 + int(math.log(spec.trials, spec.halving) + 1e-9))
    return tuple(spec.halving ** -float(rung) for rung in reversed(range(rungs)))


def run_search(spec: SearchSpec, base: str, journal: Path, attempt: Attempt) -> Found:
    """Try choices until the budget of *spec* is spent; go on with *journal* if there is one.

    Trials depend on the seed and on the trials before, so a search that ends by *trials* gives the same again,
    killed or not; one that ends by time may not. A trial fails alone: its error is its reason.
    """
    require_search_extra()
    _mend(journal)
    search = _Search(_open_study(spec, journal), spec, base, attempt)
    while not (ended := search.ended()):
        search.try_next()
    tried = search.tried()
    return Found(
        best=_best(tried, spec), tried=tried, seconds=search.spent(), cost=round(search.cost(), 4), ended=ended
    )


class _Search:
    """A study being worked on; what it spent is in the journal beside the trials."""

    def __init__(self, study: Any, spec: SearchSpec, base: str, attempt: Attempt) -> None:
        self._study = study
        self._spec = spec
        self._base = base
        self._attempt = attempt
        self._shares = plan_shares(spec)

    def ended(self) -> str:
        done = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished()]
        if len(done) >= self._spec.trials:
            return f"{len(done)} trials"
        return self._spent_budget()

    def spent(self) -> float:
        trials = self._study.get_trials(deepcopy=False)
        return round(sum(float(trial.user_attrs.get("seconds", 0.0)) for trial in trials), 3)

    def cost(self) -> float:
        return self.spent() / 3600 * self._attempt.rate

    def tried(self) -> tuple[Tried, ...]:
        return tuple(_read(trial, self._shares) for trial in self._study.get_trials(deepcopy=False))

    def try_next(self) -> None:
        import optuna

        trial = self._open_trial()
        choice = self._suggest(trial)
        self._attempt.watch(f"trial {trial.number + 1} of {self._spec.trials}")
        try:
            score = self._climb(trial, choice)
        except (CortexError, RuntimeError, MemoryError, ValueError) as error:
            trial.set_user_attr("reason", getattr(error, "message", str(error)).partition("\n")[0])
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            state = optuna.trial.TrialState.PRUNED if score is None else optuna.trial.TrialState.COMPLETE
            self._study.tell(trial, score, state=state)

    def _open_trial(self) -> Any:
        import optuna

        running = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        trials = self._study.get_trials(deepcopy=False)
        number = running[0].number if running else len(trials)
        # A seed per trial: what is proposed depends on the trials before, not on whether the process lived through them.
        self._study.sampler = _sampler(self._spec, number)
        return optuna.trial.Trial(self._study, running[0]._trial_id) if running else self._study.ask()  # noqa: SLF001

    def _suggest(self, trial: Any) -> Choice:
        spec = self._spec
        return Choice(
            base=trial.suggest_categorical("base", spec.bases or (self._base,)),
            rank=trial.suggest_categorical("rank", spec.ranks),
            learning_rate=float(f"{trial.suggest_float('learning_rate', *spec.learning_rate, log=True):.3g}"),
            epochs=trial.suggest_categorical("epochs", spec.epochs),
            mixture=trial.suggest_categorical("mixture", spec.mixture),
        )

    def _climb(self, trial: Any, choice: Choice) -> float | None:
        """Return the score on the whole data; None when a smaller share decided against it."""
        known = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        score = 0.0
        for rung, share in enumerate(self._shares):
            step = self._spec.halving**rung
            if step in known:  # a killed process got as far
                score = known[step]
            else:
                score = self._measure(trial, choice, share)
                trial.report(score, step)
            if share < 1 and (why := self._stop(trial, score, share)):
                trial.set_user_attr("reason", why)
                return None
        return score

    def _measure(self, trial: Any, choice: Choice, share: float) -> float:
        began = self._attempt.clock()
        try:
            return self._attempt.train(choice, share)
        finally:
            spent = float(self._study.get_trials(deepcopy=False)[trial.number].user_attrs.get("seconds", 0.0))
            trial.set_user_attr("seconds", spent + self._attempt.clock() - began)

    def _stop(self, trial: Any, score: float, share: float) -> str:
        if trial.should_prune():
            return f"not among the best at {share:.0%} of the data, score {score:.4g}"
        complete = any(each.state.name == "COMPLETE" for each in self._study.get_trials(deepcopy=False))
        return self._spent_budget() if complete else ""

    def _spent_budget(self) -> str:
        spent = self.spent()
        if spent >= 60 * self._spec.minutes:
            return f"{self._spec.minutes:g} minutes spent"
        if self._spec.cost and self.cost() >= self._spec.cost:
            return f"${self._spec.cost:g} spent"
        return ""


def _open_study(spec: SearchSpec, journal: Path) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal.parent.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal), lock_obj=_Alone())),
        study_name=_STUDY,
        direction="minimize" if spec.metric == "loss" else "maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=max(2, spec.halving)),
        load_if_exists=True,
    )


class _Alone:
    """No lock on the journal: a workspace trains once at a time, and a lock file would outlive a kill."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _sampler(spec: SearchSpec, number: int) -> Any:
    import optuna

    seed = int(hex_of(digest_value([spec.seed, number]))[:8], 16)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM)


def _mend(journal: Path) -> None:
    # A kill may leave half a line at the end; whatever followed it would be lost with it.
    if journal.is_file():
        data = journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            journal.write_bytes(whole)


def _read(trial: Any, shares: Sequence[float]) -> Tried:
    states: dict[str, Literal["complete", "stopped", "failed"]] = {"COMPLETE": "complete", "PRUNED": "stopped"}
    scores = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    choice = None
    if len(trial.params) == len(msgspec.structs.fields(Choice)):
        choice = Choice(**{**trial.params, "learning_rate": float(f"{trial.params['learning_rate']:.3g}")})
    return Tried(
        number=trial.number + 1,
        choice=choice,
        state=states.get(trial.state.name, "failed"),
        score=scores[-1] if scores else None,
        shares={f"{share:.3g}": score for share, score in zip(shares, scores, strict=False)},
        seconds=round(float(trial.user_attrs.get("seconds", 0.0)), 3),
        reason=str(trial.user_attrs.get("reason", "")),
    )


def _best(tried: Sequence[Tried], spec: SearchSpec) -> Tried | None:
    complete = [trial for trial in tried if trial.state == "complete" and trial.score is not None]
    sign = 1 if spec.metric == "loss" else -1
    return min(complete, key=lambda trial: (sign * (trial.score or 0.0), trial.number), default=None)
