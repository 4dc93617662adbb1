"""What a contender does beside its task: how fast it is, what it forgot, what it gives away.

Each contender is loaded, measured and let go before the next one, so that two large models never share the memory.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.examples import Generate, Prompt
from cortex_cli.evaluate.leakage import Canary, Leakage, find_canaries, measure_exposure
from cortex_cli.evaluate.scores import Scores
from cortex_cli.evaluate.suites import Suite
from cortex_cli.pipeline.contenders import Contender, bare_base, find_local, scorer_of
from cortex_cli.pipeline.evaluating import Watch, open_panel, score_contender
from cortex_cli.pipeline.variants import read_prompt, render_request

if TYPE_CHECKING:
    from cortex_cli.models.generation import LocalModel

__all__ = ["Measures", "Wishes", "list_canaries", "measure_base", "measure_contender"]

# Requests that are timed one by one. The first is not counted: it pays for what is set up once.
_TIMED = 25


class Wishes(NamedTuple):
    """What to measure: answers to suites, the likelihood of general texts, time per request, exposure of canaries."""

    suites: tuple[Suite, ...]
    general: Suite | None = None
    timed: bool = False
    canaries: tuple[Canary, ...] = ()
    unsafe: bool = False


class Measures(NamedTuple):
    """What was found: scores per suite, nats per character of each general text, seconds of single requests, exposure."""

    scores: tuple[Scores, ...] = ()
    surprise: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    leakage: Leakage | None = None


def measure_contender(
    contender: Contender, wishes: Wishes, tell: Callable[[str], Watch] = lambda _what: lambda _done, _total: None
) -> Measures:
    """Load *contender* once and measure all that *wishes* ask; *tell* is told what is next and returns who watches it."""
    model = contender.open()
    scores = tuple(_score(contender, suite, model, wishes, tell) for suite in wishes.suites)
    seconds = _time(model, wishes.suites[0]) if wishes.timed else ()
    local = find_local(model)
    if local is None:
        return Measures(scores, (), seconds)
    return Measures(scores, _surprise(local, wishes.general), seconds, _leakage(local, wishes.canaries))


def measure_base(contender: Contender, wishes: Wishes) -> Measures:
    """Measure what *wishes* ask of the base of *contender*, without adapter and prompt: likelihoods only."""
    if wishes.general is None and not wishes.canaries:
        return Measures()
    local = bare_base(contender)
    return Measures((), _surprise(local, wishes.general), (), _leakage(local, wishes.canaries)) if local else Measures()


def list_canaries(contender: Contender) -> tuple[Canary, ...]:
    """Return unique strings in what the adapter of *contender* learned, under the prompt that it learned them under."""
    adapter = contender.adapter
    if adapter is None:
        return ()
    name, _, version = adapter.dataset.partition("/")
    prompt = read_prompt(contender.snapshot, contender.variant)
    examples = (
        msgspec.structs.replace(example, messages=render_request(prompt, example.messages))
        for example in read_examples(contender.place.objects, contender.snapshot.dataset(name, version), "train")
        if example.source != "pair"
    )
    return tuple(find_canaries(examples, most=16))


def _score(contender: Contender, suite: Suite, model: Generate, wishes: Wishes, tell: Callable[[str], Watch]) -> Scores:
    watch = tell(f"{contender.variant.id} on {suite.name}")
    panel = open_panel(contender.place, contender.snapshot, contender, suite, unsafe=wishes.unsafe)
    return score_contender(contender, suite, panel, model=model, watch=watch)


def _time(model: Generate, suite: Suite) -> tuple[float, ...]:
    # Spread over the suite, one request at a time: as a user waits for it.
    step = max(1, len(suite.cases) // _TIMED)
    prompts: Sequence[Prompt] = [case.messages for case in suite.cases[::step][:_TIMED]]
    return tuple(model([prompt])[0].seconds for prompt in (prompts[0], *prompts))[1:]


def _surprise(model: "LocalModel", general: Suite | None) -> tuple[float, ...]:
    if general is None:
        return ()
    totals = scorer_of(model)([case.messages for case in general.cases], [case.reference for case in general.cases])
    # Per character: the same measure whatever the vocabulary is.
    return tuple(-total / max(1, len(case.reference)) for total, case in zip(totals, general.cases, strict=True))


def _leakage(model: "LocalModel", canaries: Sequence[Canary]) -> Leakage | None:
    return measure_exposure(canaries, scorer_of(model), candidates=63) if canaries else None
