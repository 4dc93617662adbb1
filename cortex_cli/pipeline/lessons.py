"""Lessons: what a teacher would be asked, what that costs at most, and whether the cap allows any of it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from cortex_cli.curate.spec import CurateSpec, FeedbackSpec
from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.digests import hex_of
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example, Prompt
from cortex_cli.domain.manifests import Agent, DatasetVersion, Prices
from cortex_cli.pipeline.answer_book import AnswerBook, prompt_key
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.teachers import Teacher, find_teacher
from cortex_cli.pipeline.variants import render_request
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.train.spec import TrainSpec

__all__ = [
    "Estimate",
    "Lesson",
    "Question",
    "check_cap",
    "count_dollars",
    "count_tokens",
    "estimate_lesson",
    "list_questions",
    "open_book",
    "plan_lesson",
]

_TOKEN = 4  # characters, for English text in the vocabularies of today's models
_FRAME = 4  # tokens that a chat format puts around each message
_SOURCES = ("accepted", "demonstration", "supervised", "quality")


class Lesson(NamedTuple):
    """What is to be taught: the table of the recipe, the dataset, the teacher, its agent, and the rules of curation."""

    spec: TrainSpec
    dataset: DatasetVersion
    teacher: Teacher
    agent: Agent
    rules: CurateSpec

    @property
    def prices(self) -> Prices:
        """Return what the teacher costs, by its manifest."""
        return self.teacher.model.prices


class Question(NamedTuple):
    """One request as the teacher is shown it: its name in the book, and the most dollars that an answer can cost."""

    example: Example
    prompt: Prompt
    key: str
    most: float


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What asking would take, before anything is asked: *kept* of the *calls* are answered already.

    Tokens are counted at four characters each. *dollars* takes answers to be as long as those of the dataset, *most*
    as long as they may be; *single* is the most that one more call can cost. By the prices of the teacher's manifest.
    """

    prompts: int
    calls: int
    kept: int
    tokens_in: int
    tokens_out: int
    dollars: float
    most: float
    single: float


def plan_lesson(snapshot: Snapshot, spec: TrainSpec, dataset: DatasetVersion, rules: CurateSpec | None) -> Lesson:
    """Return the lesson that *spec* asks for; *rules* is the recipe's `[curate]` table, if it has one.

    Of its rules those apply that can be asked of a teacher's answer: validity, size, and the quality limits, with the
    agreement of samples as quality. Nothing is loaded or asked.
    """
    teacher = find_teacher(snapshot, spec.distil.teacher, spec.agent)
    rules = rules or CurateSpec(agent=spec.agent)
    # How long a task took and what people said is of the answer that the dataset has, not of the teacher's.
    quality = msgspec.structs.replace(rules.quality, min_seconds=0.0, max_seconds=0.0)
    rules = msgspec.structs.replace(
        rules, agent=spec.agent, domains=(), sources=_SOURCES, feedback=FeedbackSpec(), quality=quality
    )
    return Lesson(spec, dataset, teacher, snapshot.agent(spec.agent), rules)


def list_questions(place: Place, lesson: Lesson) -> Iterator[Question]:
    """Yield what the teacher is asked: each request of the dataset's train part once, under the teacher's prompt."""
    spec, seen = lesson.spec.distil, set[str]()
    heat = spec.heat if spec.samples > 1 else 0.0
    for example in read_examples(place.objects, lesson.dataset, "train"):
        prompt = render_request(lesson.teacher.prompt, example.messages)
        key = prompt_key(prompt, spec.max_tokens, heat)
        if key in seen:  # a pair, or the same request beside another answer
            continue
        seen.add(key)
        yield Question(example, prompt, key, count_dollars(lesson.prices, _count_prompt(prompt), spec.max_tokens))


def open_book(place: Place, lesson: Lesson) -> AnswerBook:
    """Return the book with what the teacher of *lesson* has answered so far."""
    return AnswerBook(place.workspace.private / "teachers" / f"{hex_of(lesson.teacher.identity)[:16]}.jsonl")


def estimate_lesson(lesson: Lesson, questions: Sequence[Question], book: AnswerBook) -> Estimate:
    """Return what asking would take, by what *book* does not have."""
    spec = lesson.spec.distil
    samples = range(spec.samples)
    missing = [each for each in questions for sample in samples if book.find(each.key, sample) is None]
    tokens_in = sum(_count_prompt(each.prompt) for each in missing)
    tokens_out = sum(min(spec.max_tokens, count_tokens(each.example.answer)) for each in missing)
    calls = len(questions) * len(samples)
    return Estimate(
        prompts=len(questions),
        calls=calls,
        kept=calls - len(missing),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        dollars=count_dollars(lesson.prices, tokens_in, tokens_out),
        most=sum(each.most for each in missing),
        single=max((each.most for each in missing), default=0.0),
    )


def check_cap(lesson: Lesson, estimate: Estimate) -> None:
    """Raise `UsageError` when there is nothing to ask, or when the cap forbids a single call or cannot be kept."""
    cap, prices = lesson.spec.distil.max_cost, lesson.prices
    if not estimate.prompts:
        raise UsageError(
            f"dataset '{lesson.dataset.name}/{lesson.dataset.version}' has no request to ask a teacher",
            hint="cortex dataset ls",
            state="nothing was asked",
        )
    if cap and lesson.teacher.is_remote and not (prices.input or prices.output):
        raise UsageError(
            f"max_cost is ${cap:g}, and the manifest of '{lesson.teacher.model.name}' names no prices to hold it by",
            hint=f"add [prices] to registry/models/{lesson.teacher.model.name}.toml, or use max_calls",
            state="nothing was asked",
        )
    if cap and cap < estimate.single:
        raise UsageError(
            f"max_cost is ${cap:g}, and one call of '{lesson.teacher.name}' may cost ${estimate.single:.6f}",
            hint="raise max_cost or lower max_tokens in [train.distil]",
            state="nothing was asked",
        )


def count_tokens(text: str) -> int:
    """Return about how many tokens *text* has, rounded up."""
    return -(-len(text) // _TOKEN)


def count_dollars(prices: Prices, tokens_in: int, tokens_out: int) -> float:
    """Return what so many tokens cost by *prices*."""
    return (prices.input * tokens_in + prices.output * tokens_out) / 1e6


def _count_prompt(prompt: Prompt) -> int:
    return sum(_FRAME + count_tokens(message.content) for message in prompt)
