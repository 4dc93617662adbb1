import msgspec

from cortex_cli.explain.answers import Known, count_answers
from cortex_cli.explain.clusters import Confusion
from cortex_cli.explain.mend import (
    AddDemonstrations,
    CollectHere,
    Relabel,
    Suggestion,
    describe_suggestion,
    find_conflicts,
    suggest_for_case,
    suggest_for_confusion,
)
from cortex_cli.explain.neighbours import find_neighbours
from tests.explain.conftest import call, example, failed, lessons

KNOWN = Known(names={}, labels={"set_timer": 2, "set_alarm": 40, "play_music": 20}, total=62)


def suggest(request: str, output: str, expected: str = "", failures: int = 1) -> list[Suggestion]:
    case, rows = failed(request, output, expected=expected), lessons(3)
    return suggest_for_case(case, count_answers(rows, "json"), find_neighbours(case, rows), failures=failures)


def test_a_rare_answer_wants_demonstrations() -> None:
    found = suggest_for_confusion(Confusion("set_timer", "set_alarm"), KNOWN, failures=7)
    assert found == [
        AddDemonstrations(expected="set_timer", answered="set_alarm", trained=2, rival=40, median=20, failures=7)
    ]
    sentence = describe_suggestion(found[0])
    assert "training holds 2 of it and 40 of 'set_alarm', the median answer 20; 7 failures took it for that" in sentence


def test_a_common_answer_wants_demonstrations_only_when_failures_repeat() -> None:
    confusion = Confusion("set_alarm", "set_timer")
    assert suggest_for_confusion(confusion, KNOWN, failures=1) == []
    repeated = suggest_for_confusion(confusion, KNOWN, failures=2)
    assert "median" not in describe_suggestion(repeated[0])


def test_without_a_demonstration_none_can_be_asked_for() -> None:
    assert suggest_for_confusion(Confusion("", "set_alarm"), KNOWN, failures=9) == []
    assert suggest_for_confusion(Confusion("set_alarm", "set_alarm"), KNOWN, failures=9) == []


def test_a_request_unlike_all_others_wants_collecting() -> None:
    found = suggest("zygote quorum", call("set_alarm"))
    assert [type(each) for each in found] == [CollectHere]
    assert describe_suggestion(found[0]).startswith("collect here: no training request is like this one")


def test_a_request_like_others_does_not_want_collecting() -> None:
    assert suggest("set a timer for ten minutes", call("set_alarm")) == []


def test_an_example_that_contradicts_the_demonstration_wants_relabelling() -> None:
    found = suggest("set a timer for ten minutes", call("set_timer"), expected=call("set_alarm"))
    relabel = [each for each in found if isinstance(each, Relabel)]
    assert {each.first for each in relabel} == {"x-0", "x-9", "x-18"}
    assert all((each.second, each.other_answer) == ("i-1", call("set_alarm")) for each in relabel)


def test_two_examples_that_contradict_each_other_want_relabelling_without_a_demonstration() -> None:
    rows = [*lessons(), example(20, "please set a timer for ten minutes", call("set_alarm"))]
    case = failed("set a timer for ten minutes")
    found = suggest_for_case(case, count_answers(rows, "json"), find_neighbours(case, rows))
    assert [(each.first, each.second) for each in found if isinstance(each, Relabel)] == [("x-20", "x-0")] or [
        (each.first, each.second) for each in found if isinstance(each, Relabel)
    ] == [("x-0", "x-20")]


def test_conflicts_ignore_order_and_manners_but_not_meaning() -> None:
    rows = [
        example(0, "set a reminder for me", call("reminder")),
        example(1, "please, for me, set the reminder", call("alarm")),
        example(2, "do not set a reminder for me", call("cancel")),
        example(3, "set a reminder for me", call("reminder")),
    ]
    found = find_conflicts(rows, "json")
    assert [(each.first, each.second) for each in found] == [("x-0", "x-1")]
    assert describe_suggestion(found[0]).startswith("relabel one of x-0 and x-1:")


def test_conflicts_are_bounded_and_empty_requests_never_conflict() -> None:
    rows = [example(n, "same", call(f"tool_{n}")) for n in range(50)]
    assert len(find_conflicts(rows, "json", most=5)) == 5
    assert find_conflicts([example(0, "", "a"), example(1, "", "b")], "exact") == []


def test_suggestions_tell_their_kind_in_json() -> None:
    found = suggest("zygote quorum", call("set_alarm"))
    assert msgspec.json.decode(msgspec.json.encode(found))[0]["type"] == "collect-here"
