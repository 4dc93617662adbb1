import math

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.explain.neighbours import find_neighbours, rank_by_embedding, rank_by_words
from tests.explain.conftest import call, example, failed, lessons


def test_bm25_is_the_formula_of_the_source() -> None:
    rows = [example(0, "cat sat mat", ""), example(1, "cat cat", ""), example(2, "dog ran far away", "")]
    average, k1, b = 3.0, 1.2, 0.75
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    wanted = {
        "x-0": idf * 1 * (k1 + 1) / (1 + k1 * (1 - b + b * 3 / average)),
        "x-1": idf * 2 * (k1 + 1) / (2 + k1 * (1 - b + b * 2 / average)),
    }
    found = {ranked.example.id: ranked.score for ranked in rank_by_words("cat", rows, 9)}
    assert found.keys() == wanted.keys()
    assert all(math.isclose(found[id_], wanted[id_]) for id_ in wanted)


def test_a_word_that_the_query_repeats_counts_as_often() -> None:
    rows = [example(0, "cat dog", ""), example(1, "bird", "")]
    once, twice = (rank_by_words(query, rows, 1)[0].score for query in ("cat", "cat cat"))
    assert math.isclose(twice, 2 * once)


def test_rare_words_weigh_more_than_common_ones() -> None:
    rows = [*(example(n, "play the song now", "") for n in range(5)), example(9, "play a waltz today", "")]
    assert rank_by_words("play the waltz", rows, 1)[0].example.id == "x-9"


def test_an_example_that_shares_no_word_is_not_ranked() -> None:
    assert rank_by_words("zebra", lessons(), 5) == []
    assert rank_by_words("", lessons(), 5) == []
    assert rank_by_words("anything", [], 5) == []


def test_embedding_finds_what_words_miss() -> None:
    best = rank_by_embedding("timers for ten minute", lessons(), 1)[0]
    assert best.example.messages[0].content == "set a timer for ten minutes"


def test_more_examples_than_one_chunk_are_ranked_together() -> None:
    rows = [example(n, f"note number {n}", "") for n in range(2500)]
    assert rank_by_embedding("note number 2400", rows, 1)[0].example.id == "x-2400"


def test_equal_scores_keep_the_order_of_the_examples() -> None:
    rows = [example(n, "the same request", "") for n in range(6)]
    assert [ranked.example.id for ranked in rank_by_words("same request", rows, 3)] == ["x-0", "x-1", "x-2"]


def test_both_rankings_are_merged_without_repeating_an_example() -> None:
    found = find_neighbours(failed(), lessons(), k=4)
    assert len({each.id for each in found}) == len(found)
    assert found[0].bm25 is not None
    assert found[0].cosine is not None
    assert all(each.bm25 is not None or each.cosine is not None for each in found)


def test_a_neighbour_says_which_of_the_two_answers_it_speaks_for() -> None:
    case = failed("set a timer or an alarm", call("set_alarm"), expected='{"tool":"set_timer"}')
    by_tool = {each.answer: each.answers_as for each in find_neighbours(case, lessons(), k=9)}
    assert by_tool[call("set_timer")] == "expected"
    assert by_tool[call("set_alarm")] == "answered"


def test_a_neighbour_carries_where_it_came_from() -> None:
    row = msgspec.structs.replace(lessons()[0], replayed=True)
    found = find_neighbours(failed(), [row], k=1)[0]
    assert (found.id, found.interaction, found.domain, found.time, found.replayed) == (
        "x-0",
        "k-0",
        "home",
        "2026-01-01T00:00:00Z",
        True,
    )
    assert found.source == "demonstration"


WORDS = st.lists(st.sampled_from(["set", "timer", "alarm", "play", "the", "jazz"]), max_size=6).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(WORDS, st.lists(WORDS, max_size=8))
def test_scores_are_above_zero_and_fall(query: str, requests: list[str]) -> None:
    rows = [example(number, request, "") for number, request in enumerate(requests)]
    for rank in (rank_by_words, rank_by_embedding):
        scores = [ranked.score for ranked in rank(query, rows, 5)]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 for score in scores)
        assert len(scores) <= 5


@settings(max_examples=30, deadline=None)
@given(st.lists(WORDS.filter(bool), min_size=1, max_size=8))
def test_the_same_request_is_its_own_nearest_by_embedding(requests: list[str]) -> None:
    rows = [example(number, request, "") for number, request in enumerate(requests)]
    best = rank_by_embedding(requests[-1], rows, 1)[0]
    assert math.isclose(best.score, 1.0, abs_tol=1e-5)


def test_an_empty_request_has_no_neighbours() -> None:
    assert find_neighbours(failed(""), lessons()) == []
