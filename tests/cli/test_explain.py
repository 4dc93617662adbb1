"""`cortex explain` as a user meets it."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.pipeline.scenes import FAILURES, Scene, answered, call, copy_scene, judged, open_scene

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return open_scene(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def scene(cortex: "Program", made: Scene, tmp_path: Path) -> Scene:
    scene = copy_scene(made, tmp_path / "workspace")
    cortex.environ["CORTEX_WORKSPACE"] = str(scene.root)
    return scene


def test_a_failure_is_explained_in_80_columns_without_colour(cortex: "Program", scene: Scene) -> None:
    outcome = cortex("explain", scene.failures[0].id, "--no-model")
    assert (outcome.code, outcome.err) == (0, "")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "\033" not in outcome.out
    text = " ".join(outcome.out.split())
    for part in (
        f"request {FAILURES[0]}",
        f"answer {call('set_alarm')}",
        f"expected {call('set_timer')}",
        "contradiction the demonstration says otherwise: missing set_timer; too much set_alarm",
        "in dispatch/v0001, 10 training examples (learned from)",
        "`set_alarm` stands in 4 of 10 training answers (40%), all of domain home",
        "similar training examples (alike, which says nothing of cause)",
        "add demonstrations of 'set_timer': training holds 2 of it and 4 of 'set_alarm'",
    ):
        assert part in text


def test_the_object_for_programs_holds_every_finding(cortex: "Program", scene: Scene) -> None:
    data = cortex("explain", scene.failures[0].id, "--no-model", "--json").data["interaction"]
    assert data["case"]["replayed"] is True
    assert data["symptoms"][0]["name"] == "contradiction"
    assert data["answer_spans"][0]["count"] == 4
    assert data["suggestions"][0]["type"] == "add-demonstrations"
    assert data["attribution"] is None


def test_a_model_that_cannot_be_loaded_is_a_note_and_the_rest_is_told(cortex: "Program", scene: Scene) -> None:
    outcome = cortex("explain", scene.failures[0].id)
    assert outcome.code == 0
    assert "note: the words were not weighed: model 'tiny' has no config.json" in outcome.out


def test_failures_are_told_in_groups(cortex: "Program", scene: Scene) -> None:
    outcome = cortex("explain", "--failures", "dispatch")
    text = " ".join(outcome.out.split())
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert text.startswith("3 failures among 13 judged of 13 answers of 'dispatch', 3 of them replayed")
    assert "1. set_timer taken for set_alarm: " in text
    assert "by day to 2026-03-04: 1 1 1" in text
    assert "2 of 10 training examples teach the right answer, 4 the other" in text


def test_an_answer_of_a_base_says_that_it_learned_from_nothing_shown(cortex: "Program", scene: Scene) -> None:
    text = " ".join(cortex("explain", scene.lessons[0].id, "--no-model").out.split())
    assert "nothing was detected" in text
    assert "10 training examples (not learned from)" in text
    assert "note: the model that answered was not trained on dispatch/v0001" in text
    assert "note: nobody said that this answer was wrong" in text


def test_a_derived_verdict_is_called_replayed(cortex: "Program", scene: Scene) -> None:
    replayed = "verdict   replayed: derived from a reference answer, not observed"
    assert replayed in cortex("explain", scene.failures[0].id, "--no-model").out
    observed = answered("play the blues", call("set_alarm"), scene.tuned.id, day=9)
    scene.append(observed, judged(observed, thumbs=False))
    assert "replayed" not in cortex("explain", observed.id, "--no-model").out


def test_more_groups_than_fit_are_counted(cortex: "Program", scene: Scene) -> None:
    odd = [answered(f"zq{number}x{number}", "nonsense", "", day=5) for number in range(25)]
    scene.append(*odd, *(judged(each, thumbs=False) for each in odd))
    assert "and 6 smaller groups" in cortex("explain", "--failures", "dispatch").out


def test_no_failures_is_said_and_is_no_error(cortex: "Program", scene: Scene) -> None:
    outcome = cortex("explain", "--failures", "dispatch", "--since", "2027-01-01")
    assert outcome.code == 0
    assert outcome.out == (
        "nothing to explain: no failure among 0 judged of 0 answers of 'dispatch' since\n2027-01-01\n"
    )
    assert (
        cortex("explain", "--failures", "dispatch", "--since", "2027-01-01", "--json").data["failures"]["clusters"]
        == []
    )


def test_an_adapter_is_told_with_its_data_and_its_failures(cortex: "Program", scene: Scene) -> None:
    outcome = cortex("explain", "--adapter", scene.adapter.id)
    text = " ".join(outcome.out.split())
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert f"{scene.adapter.id} learned from dispatch/v0001, 10 examples" in text
    assert "answers set_alarm 4, play_music 4, set_timer 2" in text
    assert "3 failures among 3 judged of 3 answers" in text
    assert cortex("explain", "--adapter", scene.adapter.id, "--json").data["adapter"]["variants"] == [scene.tuned.id]


def test_failures_of_many_kinds_fit_the_terminal(cortex: "Program", scene: Scene) -> None:
    long = "x" * 200
    odd = [
        answered("what is " + "very " * 40 + "long", "{", scene.tuned.id, day=6),
        answered("short", f'{{"tool": "{long}"}}', scene.tuned.id, day=6),
        msgspec.structs.replace(answered("broken", "", scene.tuned.id, day=7), error="timeout after 30 s"),
    ]
    scene.append(*odd, *(judged(each, thumbs=False) for each in odd))
    for each in odd:
        lines = cortex("explain", each.id, "--no-model").out.splitlines()
        assert all(len(line) <= 80 or long in line for line in lines)
    assert "error" in cortex("explain", "--failures", "dispatch").out


def test_an_endless_request_is_cut_for_people_and_whole_for_programs(cortex: "Program", scene: Scene) -> None:
    endless = answered("timer " * 3000, call("set_alarm"), scene.tuned.id, day=9)
    scene.append(endless, judged(endless, thumbs=False))
    assert len(cortex("explain", endless.id, "--no-model").out) < 6000
    case = cortex("explain", endless.id, "--no-model", "--json").data["interaction"]["case"]
    assert len(case["messages"][0]["content"]) == 18_000


def test_groups_and_adapters_are_told_plainly_too(cortex: "Program", scene: Scene) -> None:
    groups = cortex("explain", "--failures", "dispatch", "--plain").out.splitlines()
    assert "contradiction\t3" in groups
    assert any(line.startswith("1. set_timer taken for set_alarm") for line in groups)
    assert f"variants\t{scene.tuned.id}" in cortex("explain", "--adapter", scene.adapter.id, "--plain").out.splitlines()


def test_the_envelope_names_its_schema(cortex: "Program", scene: Scene) -> None:
    for arguments in (("explain", scene.failures[0].id, "--no-model"), ("explain", "--failures", "dispatch")):
        assert cortex(*arguments, "--json").out.startswith('{"schema":"cortex.explain/1","ok":true,"data":')


def test_an_escape_sequence_in_an_answer_does_not_reach_the_terminal(cortex: "Program", scene: Scene) -> None:
    evil = answered("red \033[31m alert", "\033]0;owned\a", scene.tuned.id, day=8)
    scene.append(evil, judged(evil, thumbs=False))
    for arguments in (("explain", evil.id, "--no-model"), ("explain", "--failures", "dispatch"), ("why", evil.id)):
        out = cortex(*arguments).out
        assert "\033" not in out
        assert "\a" not in out


def test_plain_output_has_one_finding_per_line(cortex: "Program", scene: Scene) -> None:
    lines = cortex("explain", scene.failures[0].id, "--no-model", "--plain").out.splitlines()
    assert f"request\t{FAILURES[0]}" in lines
    assert any(line.startswith("contradiction\tthe demonstration says otherwise") for line in lines)


@pytest.mark.parametrize("arguments", [(), ("i-1", "--failures", "dispatch"), ("--failures", "a", "--adapter", "b")])
def test_it_explains_exactly_one_thing_at_a_time(cortex: "Program", scene: Scene, arguments: tuple[str, ...]) -> None:
    outcome = cortex("explain", *arguments)
    assert outcome.code == 2
    assert "explain one thing at a time" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("i-nothing",), "there is no interaction 'i-nothing' among the 13 in the journal"),
        (("--failures", "dispach"), "did you mean 'dispatch'"),
        (("--adapter", "dispatch-000000000000"), "there is no adapter"),
        (("--failures", "dispatch", "--since", "monday"), "'monday' is not a day"),
        (("i-1", "--since", "2026-03-01"), "'--since' goes with --failures or --adapter"),
    ],
)
def test_what_cannot_be_explained_ends_with_2_and_a_next_step(
    cortex: "Program", scene: Scene, arguments: tuple[str, ...], message: str
) -> None:
    outcome = cortex("explain", *arguments, "--json")
    assert outcome.code == 2
    assert message in outcome.error["message"]
    assert outcome.error["hint"]


def test_outside_of_a_workspace_it_ends_with_10(cortex: "Program") -> None:
    assert cortex("explain", "i-1").code == 10


@pytest.mark.model
def test_the_words_that_mattered_are_a_table(cortex: "Program", tmp_path: Path) -> None:
    from tests.models.tiny import make_adapter, make_base

    base = make_base(tmp_path / "workspace" / "base", [*FAILURES, call("set_timer"), call("set_alarm")])
    scene = open_scene(tmp_path / "workspace", make_adapter(base, tmp_path / "adapter"))
    cortex.environ["CORTEX_WORKSPACE"] = str(scene.root)
    out = cortex("explain", scene.failures[0].id).out
    assert "which words mattered" in out
    rows = out[out.index("FOR IT") :].splitlines()[1:7]
    assert sorted(row.split()[-1] for row in rows) == sorted(FAILURES[0].split())
    assert "########" in rows[0]
    assert max(map(len, out.splitlines())) <= 80
