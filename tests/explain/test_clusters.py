import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.explain.cases import Case
from cortex_cli.explain.clusters import Confusion, find_clusters, read_confusion
from tests.explain.conftest import call, failed

TIMERS = ["set a timer for two minutes", "timer for the eggs", "start the kitchen timer", "a timer of ten minutes"]


def confused(number: int, request: str, expected: str, answered: str, day: int = 1) -> Case:
    return failed(
        request, call(answered), expected=call(expected), time=f"2026-03-{day:02}T00:00:00Z", id=f"i-{number}"
    )


def test_the_same_confusion_twice_is_a_cluster_whatever_the_words() -> None:
    cases = [
        confused(1, "wake me in ten", "set_timer", "set_alarm"),
        confused(2, "boil eggs for four minutes", "set_timer", "set_alarm"),
        confused(3, "play jazz", "play_music", "set_alarm"),
    ]
    first, second = find_clusters(cases)
    assert (first.by, first.expected, first.answered, first.cases) == (
        "confusion",
        "set_timer",
        "set_alarm",
        ("i-1", "i-2"),
    )
    assert (first.size, first.share, first.confusions) == (2, 0.6667, {"set_timer taken for set_alarm": 2})
    assert (second.by, second.cases) == ("alone", ("i-3",))


def test_failures_without_a_demonstration_are_joined_by_their_requests() -> None:
    cases = [failed(request, "nonsense", id=f"i-{number}") for number, request in enumerate(TIMERS)]
    cases += [failed(request, "nonsense", id=f"j-{request}") for request in ("play some jazz", "play some rock")]
    clusters = find_clusters(cases)
    assert [(cluster.by, cluster.size) for cluster in clusters] == [("requests", 4), ("requests", 2)]
    assert clusters[0].words[0] == "timer"
    assert clusters[1].words[0] == "play"
    assert "(unreadable)" in clusters[0].answered
    assert clusters[0].expected == ""


def test_a_cluster_is_named_by_its_confusion_and_its_commonest_words() -> None:
    cases = [confused(number, request, "set_timer", "set_alarm") for number, request in enumerate(TIMERS)]
    assert find_clusters(cases)[0].name.startswith("set_timer taken for set_alarm: timer, ")


def test_every_day_from_the_first_failure_to_the_last_is_counted() -> None:
    cases = [confused(1, "a", "x", "y", day=1), confused(2, "b", "x", "y", day=4), confused(3, "c", "u", "v", day=5)]
    first = find_clusters(cases)[0]
    assert first.days == {"2026-03-01": 1, "2026-03-02": 0, "2026-03-03": 0, "2026-03-04": 1, "2026-03-05": 0}


def test_cases_without_a_time_have_no_trend() -> None:
    assert find_clusters([msgspec.structs.replace(failed(), time="")])[0].days == {}


def test_a_time_that_is_no_date_is_counted_as_it_stands() -> None:
    assert find_clusters([msgspec.structs.replace(failed(), time="yesterday")])[0].days == {"yesterday": 1}


def test_a_span_of_years_is_told_by_the_days_that_have_failures() -> None:
    times = ["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]
    cases = [msgspec.structs.replace(failed(id=time), time=time) for time in times]
    assert list(find_clusters(cases)[0].days) == ["2020-01-01", "2026-01-01"]


def test_at_most_three_representatives_are_shown_and_they_are_members() -> None:
    cases = [confused(number, f"set timer number {number}", "set_timer", "set_alarm") for number in range(9)]
    cluster = find_clusters(cases)[0]
    assert len(cluster.shown) == 3
    assert set(cluster.shown) <= set(cluster.cases)


def test_no_failures_make_no_clusters() -> None:
    assert find_clusters([]) == []


def test_errors_and_silence_have_confusions_of_their_own() -> None:
    wanted = call("set_timer")
    assert read_confusion(failed(output="", expected=wanted)) == Confusion("set_timer", "(nothing)")
    broken = msgspec.structs.replace(failed(expected=wanted), error="timeout")
    assert read_confusion(broken) == Confusion("set_timer", "(error)")


def test_a_request_without_words_still_has_a_name() -> None:
    assert find_clusters([failed("? ! 7", "x")])[0].name == "(no words)"


def test_the_commonest_confusions_of_mixed_requests_are_kept() -> None:
    cases = [confused(number, "set the kitchen timer", f"tool_{number}", "other") for number in range(5)]
    cluster = find_clusters(cases)[0]
    assert (cluster.by, cluster.size, cluster.expected) == ("requests", 5, "")
    assert list(cluster.confusions.values()) == [1, 1, 1]


def test_a_failure_whose_demonstration_is_its_answer_is_no_confusion() -> None:
    cases = [confused(number, "set the kitchen timer", "set_timer", "set_timer") for number in range(2)]
    assert [(cluster.by, cluster.confusions) for cluster in find_clusters(cases)] == [("requests", {})]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text("ab t", max_size=8), st.sampled_from("xyz"), st.sampled_from("xyz")), max_size=12))
def test_every_failure_is_in_exactly_one_cluster(rows: list[tuple[str, str, str]]) -> None:
    cases = [confused(number, request, one, two) for number, (request, one, two) in enumerate(rows)]
    clusters = find_clusters(cases)
    members = [name for cluster in clusters for name in cluster.cases]
    assert sorted(members) == sorted(case.id for case in cases)
    assert [cluster.size for cluster in clusters] == sorted((len(cluster.cases) for cluster in clusters), reverse=True)
