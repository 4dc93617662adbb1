"""A suite's judge made ready: cases and answers in, a judgement of each out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Generate
from cortex_cli.evaluate.judges import JudgeName, is_text_judge, judge_answer
from cortex_cli.evaluate.programs import judge_program
from cortex_cli.evaluate.referee import Referee
from cortex_cli.evaluate.sandbox import Limits
from cortex_cli.evaluate.schemas import open_schema
from cortex_cli.evaluate.similarity import cosine_scores, rouge_l, token_f1
from cortex_cli.evaluate.suites import Case, JudgeSpec

__all__ = ["Judge", "Judgement", "Panel", "Tools"]


class Judgement(NamedTuple):
    """Whether an answer is right, how right on [0, 1], and what the judge has to say about it."""

    right: bool
    score: float
    note: str = ""


class Judge(Protocol):
    """Whoever judges answers; *version* changes when the same answers might be judged otherwise."""

    version: str

    def __call__(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Judgement]:
        """Judge each answer to its case."""
        ...


class Tools(NamedTuple):
    """What a judge may use beside the texts: a model to ask, and leave to run programs without a sandbox."""

    model: Generate | None = None
    model_version: str = ""
    unsafe: bool = False


class Panel:
    """The judge of a suite, with the judges of cases that name their own."""

    def __init__(self, spec: JudgeSpec, tools: Tools = Tools()) -> None:  # noqa: B008  a tuple
        self.spec = spec
        self.tools = tools
        self.referee = _referee(spec, tools) if spec.name == "model" else None
        self.version = self.referee.version if self.referee else spec.name

    def __call__(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Judgement]:
        """Judge each answer by its case's judge, or else by the suite's."""
        found: list[Judgement | None] = [None] * len(cases)
        names = [case.judge or self.spec.name for case in cases]
        for name in dict.fromkeys(names):
            places = [place for place, other in enumerate(names) if other == name]
            judged = self._judge(name, [cases[place] for place in places], [answers[place] for place in places])
            for place, judgement in zip(places, judged, strict=True):
                found[place] = judgement
        return [judgement for judgement in found if judgement is not None]

    def _judge(self, name: JudgeName, cases: list[Case], answers: list[str]) -> list[Judgement]:
        if is_text_judge(name):
            return [_by_text(name, case, answer) for case, answer in zip(cases, answers, strict=True)]
        return _JUDGES[name](self, cases, answers)


def _by_text(name: JudgeName, case: Case, answer: str) -> Judgement:
    # What must not be said must be absent in every form of it; any other reference is enough by itself.
    decide: Callable[..., bool] = all if name == "without" else any
    right = decide(judge_answer(name, answer, reference) for reference in case.accepted())
    return Judgement(right, float(right))


def _by_schema(panel: Panel, cases: list[Case], answers: list[str]) -> list[Judgement]:
    common = open_schema(panel.spec.schema) if panel.spec.schema is not None else None
    found: list[Judgement] = []
    for case, answer in zip(cases, answers, strict=True):
        check = open_schema(_read_schema(case)) if case.check else common
        if check is None:
            raise UsageError(f"case '{case.id}' has no schema, and its suite has none", state="nothing was evaluated")
        fault = check(answer)
        found.append(Judgement(not fault, float(not fault), fault))
    return found


def _read_schema(case: Case) -> dict[str, object]:
    try:
        return msgspec.json.decode(case.check, type=dict[str, object])
    except msgspec.MsgspecError as error:
        message = f"the check of case '{case.id}' is not a JSON Schema: {error}"
        raise UsageError(message, state="nothing was evaluated") from error


def _by_program(panel: Panel, cases: list[Case], answers: list[str]) -> list[Judgement]:
    limits = Limits(panel.spec.seconds, panel.spec.megabytes)
    found: list[Judgement] = []
    for case, answer in zip(cases, answers, strict=True):
        verdict = judge_program(answer, case.check, limits, unsafe=panel.tools.unsafe)
        found.append(Judgement(verdict.passed, float(verdict.passed), verdict.note))
    return found


def _by_similarity(panel: Panel, cases: list[Case], answers: list[str]) -> list[Judgement]:
    found: list[Judgement] = []
    for case, answer in zip(cases, answers, strict=True):
        score = max(_similarities(panel.spec, answer, case.accepted()))
        found.append(Judgement(score >= panel.spec.threshold, round(score, 6)))
    return found


def _similarities(spec: JudgeSpec, answer: str, references: Sequence[str]) -> list[float]:
    if spec.measure == "embedding":
        return cosine_scores([answer] * len(references), references)
    measure = token_f1 if spec.measure == "f1" else rouge_l
    return [measure(answer, reference) for reference in references]


def _by_model(panel: Panel, cases: list[Case], answers: list[str]) -> list[Judgement]:
    referee = panel.referee or _referee(panel.spec, panel.tools)
    rulings = referee.compare([(case.messages, case.reference) for case in cases], answers)
    return [Judgement(ruling.right, ruling.score, ruling.note) for ruling in rulings]


def _referee(spec: JudgeSpec, tools: Tools) -> Referee:
    if tools.model is None:
        raise UsageError(
            "the judge 'model' needs a model to ask",
            hint='set judge = { name = "model", model = "..." } in the suite',
            state="nothing was evaluated",
        )
    return Referee(tools.model, spec.rubric, tools.model_version or spec.model)


_JUDGES: dict[str, Callable[[Panel, list[Case], list[str]], list[Judgement]]] = {
    "schema": _by_schema,
    "program": _by_program,
    "similarity": _by_similarity,
    "model": _by_model,
}
