"""What is asked of a teacher and what is kept: the cap, the book, failures, a kill."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.domain.errors import AuthenticationError, RemoteError, UsageError
from cortex_cli.domain.manifests import Model, Prices
from cortex_cli.pipeline.distilling import preview, teach
from cortex_cli.pipeline.forgetting import Selectors, forget
from cortex_cli.pipeline.lessons import Estimate, open_book
from cortex_cli.pipeline.questioning import Asked
from cortex_cli.registry.actions import add_model
from tests.models.provider import Turn, failed, said
from tests.models.tiny import make_base
from tests.pipeline.scenes import Scene, copy_scene, open_scene
from tests.pipeline.schooling import TOOL_OF, give, knowing, lesson, teaching, train_part


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return open_scene(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Scene:
    return copy_scene(made, tmp_path / "workspace")


def test_an_answer_is_paid_for_once(scene: Scene) -> None:
    with teaching(scene, knowing) as provider:
        first = give(scene, lesson(scene))
        again = give(scene, lesson(scene))
        other = give(scene, lesson(scene, max_tokens=17))

    assert again == first
    assert len(provider.asked) == 20  # another limit is another question
    assert other.examples == first.examples


@pytest.mark.parametrize(("samples", "temperature"), [(1, 0.0), (2, 0.9)])
def test_one_sample_is_the_likeliest_answer_and_several_are_drawn(
    scene: Scene, samples: int, temperature: float
) -> None:
    with teaching(scene, knowing) as provider:
        teach(scene.place, scene.place.registry.snapshot(), lesson(scene, samples=samples, heat=0.9))

    assert len(provider.asked) == 10 * samples
    assert {each["temperature"] for each in provider.asked} == {temperature}
    assert {each["max_tokens"] for each in provider.asked} == {16}


def test_the_cost_is_estimated_before_anything_is_asked(scene: Scene) -> None:
    with teaching(scene, knowing) as provider:
        estimate = preview(scene.place, lesson(scene, samples=3))

    asked = train_part(scene)
    tokens_in = 3 * sum(4 + -(-len(each.messages[-1].content) // 4) for each in asked)
    assert (estimate.prompts, estimate.calls, estimate.kept) == (10, 30, 0)
    assert estimate.tokens_in == tokens_in
    assert estimate.most == pytest.approx((2.0 * tokens_in + 8.0 * 16 * 30) / 1e6)
    assert 0 < estimate.single < estimate.dollars < estimate.most
    assert provider.asked == []
    assert not (scene.root / ".cortex" / "teachers").exists()


def test_what_is_kept_is_not_in_the_estimate(scene: Scene) -> None:
    with teaching(scene, knowing):
        give(scene, lesson(scene))
        estimate = preview(scene.place, lesson(scene))

    assert (estimate.calls, estimate.kept, estimate.dollars, estimate.single) == (10, 10, 0.0, 0.0)


def test_a_cap_below_one_call_is_refused_before_it(scene: Scene) -> None:
    with teaching(scene, knowing) as provider, pytest.raises(UsageError, match="one call of 'big' may cost") as caught:
        give(scene, lesson(scene, max_cost=1e-6))

    assert provider.asked == []
    assert caught.value.state == "nothing was asked"


def test_a_cap_that_no_price_can_hold_is_refused(scene: Scene) -> None:
    with teaching(scene, knowing, Prices()) as provider, pytest.raises(UsageError, match="names no prices") as caught:
        give(scene, lesson(scene, max_cost=1.0))

    assert provider.asked == []
    assert "max_calls" in caught.value.hint


def test_the_cap_ends_the_asking_and_what_was_answered_is_learned(scene: Scene) -> None:
    # One call may cost (2 x 12 + 8 x 16) / 1e6 at most, and costs (2 x 20 + 8 x 10) / 1e6 = 0.00012.
    with teaching(scene, knowing) as provider:
        capped = lesson(scene, max_cost=0.0005)
        taught = give(scene, capped)
        again = give(scene, capped)

    assert 2 <= len(provider.asked) <= 4
    assert taught.figures["teacher_dollars"] <= 0.0005
    assert len(taught.examples) == len(provider.asked)
    assert taught.counts == {"not_answered": 10 - len(taught.examples)}
    assert again == taught  # the same cap is never spent twice


def test_a_number_of_calls_is_a_cap_too(scene: Scene) -> None:
    with teaching(scene, knowing) as provider:
        assert len(give(scene, lesson(scene, max_calls=4)).examples) == 4
        assert len(give(scene, lesson(scene, max_calls=6)).examples) == 6

    assert len(provider.asked) == 6


def test_a_teacher_that_tells_no_tokens_is_counted_by_its_text(scene: Scene) -> None:
    with teaching(scene, lambda _request, _number: Turn(b'{"choices": [{"message": {"content": "{}"}}]}')):
        taught = give(scene, lesson(scene))

    assert taught.figures["teacher_tokens_out"] == 10
    assert taught.figures["teacher_dollars"] > 0


def test_what_a_teacher_says_of_people_is_masked_before_it_is_kept(scene: Scene) -> None:
    secret = "anna.schmidt@example.com"  # noqa: S105 - an address, no password
    with teaching(scene, lambda _request, _number: said(json.dumps({"tool": "mail", "to": secret}))):
        taught = give(scene, lesson(scene))

    kept = b"".join(path.read_bytes() for path in (scene.root / ".cortex").rglob("*") if path.is_file())
    assert secret.encode() not in kept
    answers = {each.answer for each in taught.examples}
    assert len(answers) == 1
    assert "<EMAIL" in json.loads(answers.pop())["to"]


def test_answers_that_were_masked_by_other_rules_are_masked_again_when_read(scene: Scene) -> None:
    secret = "anna.schmidt@example.com"  # noqa: S105 - an address, no password
    with teaching(scene, lambda _request, _number: said(json.dumps({"to": secret}))):
        loose = give(scene, lesson(scene), policy="off")
        strict = give(scene, lesson(scene))

    assert secret in loose.examples[0].answer
    assert secret not in strict.examples[0].answer


def test_a_teacher_that_stops_at_half_leaves_what_it_said_and_how_to_go_on(scene: Scene) -> None:
    alive = True

    def dying(request: dict[str, Any], number: int) -> Turn:
        return knowing(request, number) if alive and number < 4 else failed(503, "overloaded")

    with teaching(scene, dying) as provider:
        planned = lesson(scene)
        with pytest.raises(RemoteError, match=r"stopped answering: [56] of") as caught:
            give(scene, planned)
        assert len(provider.asked) <= 10
        assert caught.value.exit_code == 14
        assert "HTTP 503 Service Unavailable: overloaded" in caught.value.message
        assert "4 of 10 answers are kept in" in caught.value.state
        assert "no adapter was made" in caught.value.state
        assert "go on" in caught.value.hint
        provider.reply = knowing
        before = len(provider.asked)
        taught = give(scene, planned)

    assert len(provider.asked) - before == 6
    assert len(taught.examples) == 10


def test_one_failure_among_many_is_told_and_the_rest_is_learned(scene: Scene) -> None:
    def once(request: dict[str, Any], number: int) -> Turn:
        return failed(500, "hiccup") if number == 3 else knowing(request, number)

    with teaching(scene, once):
        taught = give(scene, lesson(scene))

    assert taught.counts == {"not_answered": 1}
    assert len(taught.examples) == 9


def test_a_refused_key_ends_it_as_a_matter_of_keys(scene: Scene) -> None:
    closed = teaching(scene, lambda _request, _number: failed(401, "incorrect API key"))
    with closed, pytest.raises(AuthenticationError, match="HTTP 401 Unauthorized: incorrect API key"):
        give(scene, lesson(scene))


def test_garbage_is_a_failure_and_never_a_lesson(scene: Scene) -> None:
    proxied = teaching(scene, lambda _request, _number: Turn(b"<html>welcome to our proxy</html>"))
    with proxied, pytest.raises(RemoteError, match="the answer cannot be read"):
        give(scene, lesson(scene))

    assert not open_book(scene.place, lesson(scene)).path.exists()


def test_whoever_is_told_hears_of_every_answer_and_its_cost(scene: Scene) -> None:
    heard: list[Asked] = []
    with teaching(scene, knowing):
        give(scene, lesson(scene), told=heard.append)

    assert [each.answered for each in heard] == list(range(1, 11))
    assert {each.calls for each in heard} == {10}
    assert heard[-1].dollars == pytest.approx(10 * 120e-6)


def test_who_interrupts_loses_no_answer_and_leaves_nothing_under_way(scene: Scene) -> None:
    def interrupt(asked: Asked) -> None:
        if asked.answered == 3:
            raise KeyboardInterrupt

    with teaching(scene, knowing) as provider:
        with pytest.raises(KeyboardInterrupt):
            give(scene, lesson(scene), told=interrupt)
        kept, asked = len(open_book(scene.place, lesson(scene))), len(provider.asked)
        give(scene, lesson(scene))

    assert kept == 3
    assert asked <= 5  # two calls at a time
    assert len(provider.asked) == asked + 7


def test_the_estimate_is_told_before_the_first_call(scene: Scene) -> None:
    heard: list[tuple[Estimate, int]] = []
    with teaching(scene, knowing) as provider:
        give(scene, lesson(scene), planned=lambda estimate: heard.append((estimate, len(provider.asked))))
        assert heard == [(heard[0][0], 0)]
        assert heard[0][0].calls == len(provider.asked) == 10


@pytest.mark.model
def test_a_prompt_beyond_the_context_of_a_local_teacher_is_no_failure_of_it(scene: Scene, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", ["set a timer", *TOOL_OF])
    add_model(scene.place.registry, Model(name="big", kind="local", source=str(base)))
    planned = lesson(scene)
    prompt = planned.teacher.prompt
    sections = [dataclasses.replace(each, template="word " * 400 + each.template) for each in prompt.sections]
    prompt = dataclasses.replace(prompt, sections=tuple(sections))
    planned = planned._replace(teacher=dataclasses.replace(planned.teacher, prompt=prompt))

    with pytest.raises(UsageError, match="can be learned: 10 refused"):
        teach(scene.place, scene.place.registry.snapshot(), planned)
    assert len(open_book(scene.place, planned)) == 10


def test_forgetting_reaches_what_the_teacher_answered(scene: Scene) -> None:
    with teaching(scene, knowing):
        give(scene, lesson(scene))
    path = open_book(scene.place, lesson(scene)).path
    gone = train_part(scene)[0]
    lost = next(each for each in scene.lessons if each.messages[-1].content == gone.messages[-1].content)

    forget(scene.place, Selectors(interaction=lost.id))
    assert len(path.read_bytes().splitlines()) == 9
    assert gone.id.encode() not in path.read_bytes()


def test_only_the_owner_may_read_what_was_answered(scene: Scene) -> None:
    with teaching(scene, knowing):
        give(scene, lesson(scene))

    assert open_book(scene.place, lesson(scene)).path.stat().st_mode & 0o077 == 0


def test_a_torn_last_line_is_asked_again_and_swallows_nothing(scene: Scene) -> None:
    with teaching(scene, knowing) as provider:
        first = give(scene, lesson(scene))
        path = open_book(scene.place, lesson(scene)).path
        path.write_bytes(path.read_bytes()[:-20])
        again = give(scene, lesson(scene))

    assert again.examples == first.examples
    assert len(provider.asked) == 11
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_lines_that_cannot_be_read_are_asked_again(scene: Scene) -> None:
    with teaching(scene, knowing) as provider:
        give(scene, lesson(scene))
        path = open_book(scene.place, lesson(scene)).path
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([b"\xff\xfe\n", b"{}\n", *lines[2:]]))
        give(scene, lesson(scene))

    assert len(provider.asked) == 12


_KILLED = """
import os, signal, sys
from pathlib import Path
from cortex_cli.models.transport import Limits
from cortex_cli.models.upstream import Asking, open_upstream
from cortex_cli.pipeline.distilling import Means, teach
from cortex_cli.pipeline.lessons import plan_lesson
from cortex_cli.pipeline.place import open_place
from cortex_cli.pipeline.teachers import ask_remote
from cortex_cli.store.workspace import Workspace
from cortex_cli.train.objectives import DistilSpec
from cortex_cli.train.spec import TrainSpec

place = open_place(Workspace(Path(sys.argv[1])))
snapshot = place.registry.snapshot()
spec = TrainSpec(agent="dispatch", dataset="dispatch", base="tiny", objective="distil",
                 distil=DistilSpec(teacher="big", max_tokens=16))
lesson = plan_lesson(snapshot, spec, snapshot.dataset("dispatch"), None)

def die(asked):
    if asked.answered == 5:
        os.kill(os.getpid(), signal.SIGKILL)

ask = ask_remote(open_upstream(snapshot.model("big"), {}, Asking(max_tokens=16, limits=Limits(together=1))))
teach(place, snapshot, lesson, Means(told=die, ask=ask))
"""


@pytest.mark.kill
def test_a_kill_loses_no_answer_that_was_paid_for(scene: Scene) -> None:
    with teaching(scene, knowing) as provider:
        done = subprocess.run([sys.executable, "-c", _KILLED, str(scene.root)], check=False, env=dict(os.environ))
        assert done.returncode == -signal.SIGKILL
        asked = len(provider.asked)
        taught = give(scene, lesson(scene))

    assert 5 <= asked <= 6  # the one that was under way is asked again
    assert len(provider.asked) == asked + 5
    assert len(taught.examples) == 10
