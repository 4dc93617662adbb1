"""Evaluation on the shipped base: suites by name, answers that outlive a kill, a rival of one's choice."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cortex_cli.domain.errors import CortexError, UsageError
from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Variant
from cortex_cli.evaluate.gates import GateSpec
from cortex_cli.evaluate.judging import Panel
from cortex_cli.evaluate.suites import Case, JudgeSpec, suite_of_cases
from cortex_cli.pipeline.contenders import find_contender, name_contender
from cortex_cli.pipeline.evaluating import (
    Setting,
    evaluate_variant,
    find_suite,
    list_suites,
    open_panel,
    score_contender,
)
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.registry.actions import add_variant, make_variant
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.workspace import Workspace

pytestmark = pytest.mark.model

ASKED = ("flip a coin", "roll a die", "what time is it", "tell me a joke", "play some music")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("evaluating") / "lab"
    start_workspace(root, name="lab")
    return open_place(Workspace(root))


@pytest.fixture(scope="module")
def other(place: Place) -> Variant:
    """A second variant of dispatch, which may write less."""
    draft = make_variant(place.registry.snapshot(), agent="dispatch", model="cortex-tiny", parameters={"max_tokens": 4})
    return add_variant(place.registry, draft)


def champion(place: Place) -> str:
    return place.registry.snapshot().agent("dispatch").champion


class Dying:
    """A model that answers by heart and is killed after so many requests."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked = 0

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        self.asked += len(prompts)
        if self.asked > self.most:
            raise KeyboardInterrupt
        return [Answer(text="{}", tokens_in=3, tokens_out=2, seconds=0.25) for _ in prompts]


def test_shipped_suites_are_found_by_name_and_the_workspace_has_its_own(place: Place) -> None:
    folder = place.workspace.root / "datasets" / "suites"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.toml").write_text('judge = "json"\n')
    (folder / "mine.jsonl").write_text(json.dumps({"request": "q", "reference": "{}"}) + "\n")
    names = [path.stem for path in list_suites(place)]
    snapshot = place.registry.snapshot()

    assert {"general", "mine", "programs", "safety"} <= set(names)
    assert find_suite(place, snapshot, "mine").cases[0].reference == "{}"
    assert len(find_suite(place, snapshot, "safety").cases) == 96
    with pytest.raises(UsageError):
        find_suite(place, snapshot, "nonsense")
    with pytest.raises(UsageError, match="does not exist"):
        find_suite(place, snapshot, "nonsense.toml")


def test_a_variant_is_compared_with_the_champion_or_with_any_other(place: Place, other: Variant) -> None:
    suite = suite_of_cases("s", [Case(f"c{n}", (Message("user", text),), "{}") for n, text in enumerate(ASKED)])
    found = evaluate_variant(place, other.id, suite, GateSpec())
    alone = evaluate_variant(place, champion(place), suite, GateSpec())
    chosen = evaluate_variant(place, champion(place), suite, GateSpec(), setting=Setting(against=other.id))

    assert found.against == champion(place)
    assert found.comparison is not None
    assert alone.comparison is None
    assert chosen.against == other.id
    assert chosen.comparison is not None
    assert chosen.champion is not None
    assert chosen.champion.digest() == found.scores.digest()


def test_a_suite_names_its_own_judge_and_an_agent_judges_the_rest(place: Place) -> None:
    snapshot = place.registry.snapshot()
    contender = find_contender(place, snapshot, champion(place))
    plain = suite_of_cases("s", [Case("c", (Message("user", "q"),), "{}")])

    assert open_panel(place, snapshot, contender, plain).spec == JudgeSpec(name="json")
    assert open_panel(place, snapshot, contender, find_suite(place, snapshot, "safety")).spec.name == "complies"


def test_an_evaluation_that_was_killed_goes_on_with_what_was_answered(place: Place) -> None:
    contender = find_contender(place, place.registry.snapshot(), champion(place))
    suite = suite_of_cases("s", [Case(f"c{n:03}", (Message("user", f"q {n}"),), "{}") for n in range(300)])
    panel = Panel(JudgeSpec(name="json"))
    with pytest.raises(KeyboardInterrupt):
        score_contender(contender, suite, panel, model=Dying(200))
    again = Dying(1000)
    scores = score_contender(contender, suite, panel, model=again)
    whole = Dying(1000)

    assert again.asked == 300 - 128
    assert scores.digest() == score_contender(contender, suite, panel, model=whole).digest()
    assert whole.asked == 300  # nothing was kept once all was judged
    assert scores.tokens == 300 * 5
    assert scores.seconds == pytest.approx(75.0)


def test_answers_of_another_variant_are_never_taken(place: Place, other: Variant) -> None:
    snapshot = place.registry.snapshot()
    keys = {name_contender(place, snapshot, variant).key for variant in (other, snapshot.variant(champion(place)))}

    assert len(keys) == 2


def test_evaluating_twice_gives_the_same_scores(place: Place) -> None:
    suite = find_suite(place, place.registry.snapshot(), "safety")
    small = suite_of_cases("safety", suite.cases[::8], suite.spec)
    one, two = (evaluate_variant(place, champion(place), small, GateSpec()).scores for _ in range(2))

    assert one.digest() == two.digest()
    assert (one.success, one.resampled, one.tokens) == (two.success, two.resampled, two.tokens)


def test_a_program_as_answer_is_refused_where_it_cannot_be_shut_in(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cortex_cli.evaluate.sandbox import find_obstacle

    contender = find_contender(place, place.registry.snapshot(), champion(place))
    suite = suite_of_cases("programs", [Case("c", (Message("user", "q"),), "", check="assert True")])
    panel = Panel(JudgeSpec(name="program", seconds=1, megabytes=64))
    monkeypatch.setenv("PATH", str(tmp_path))
    find_obstacle.cache_clear()
    try:
        with pytest.raises(CortexError, match="cannot be run as a program"):
            score_contender(contender, suite, panel, model=Dying(9))
    finally:
        monkeypatch.undo()
        find_obstacle.cache_clear()
