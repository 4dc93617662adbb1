from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.domain.examples import Example
from cortex_cli.explain.spans import Span, describe_span, find_spans
from tests.explain.conftest import call, example, lessons


def test_a_tool_is_counted_by_domain_source_and_month() -> None:
    found = find_spans(call("play_music"), lessons(4), "answers", judge="json")
    assert [span.text for span in found] == ["play_music"]
    span = found[0]
    assert (span.count, span.total, span.domains, span.months) == (12, 36, {"fun": 12}, {"2026-02": 12})
    assert span.sources == {"accepted": 8, "demonstration": 4}
    assert span.month_totals == {"2026-02": 12}


def test_the_sentence_says_how_often_and_where() -> None:
    span = find_spans(call("play_music"), lessons(4), "answers", judge="json")[0]
    assert describe_span(span) == (
        "`play_music` stands in 12 of 36 training answers (33%), all of domain fun, 100% of 2026-02"
    )


def test_the_share_of_a_month_is_of_the_examples_of_that_month() -> None:
    march = [example(n, "unpack it", "tar -z" if n < 4 else "unzip", month="2026-03") for n in range(10)]
    other = [example(n + 10, "list it", "tar -z" if n == 0 else "ls", month="2026-02") for n in range(90)]
    span = next(s for s in find_spans("tar -z", march + other, "answers") if s.text == "tar -z")
    assert (span.count, span.months, span.month_totals) == (
        5,
        {"2026-02": 1, "2026-03": 4},
        {"2026-02": 90, "2026-03": 10},
    )
    assert describe_span(span).endswith("40% of 2026-03")


def test_what_stands_nowhere_comes_first_and_says_so() -> None:
    found = find_spans(call("book_flight"), lessons(), "answers", judge="json")
    assert [(span.text, span.count) for span in found] == [("book_flight", 0)]
    assert describe_span(found[0]) == "`book_flight` stands in none of 9 training answers"


def test_the_frame_that_all_answers_share_is_left_out() -> None:
    assert all("tool" not in span.text for span in find_spans(call("set_timer"), lessons(3), "answers"))


def test_a_longer_span_takes_its_parts_with_it() -> None:
    rows = [example(n, "archive", "tar -czf a.tgz src") for n in range(5)]
    rows += [example(n + 5, "list", "ls -l") for n in range(5)]
    texts = [span.text for span in find_spans("tar -czf a.tgz src", rows, "answers")]
    assert texts == ["tar -czf a.tgz src"]


def test_spans_of_a_request_tell_what_its_words_are_answered_with() -> None:
    found = find_spans("set a timer for two minutes", lessons(2), "requests", judge="json")
    timer = next(span for span in found if "timer" in span.text)
    assert timer.answers == {"set_timer": 2}
    assert any(span.text == "two" and span.count == 0 for span in found)
    assert "all of answer set_timer" in describe_span(timer)


def test_the_commonest_five_answers_of_a_span_are_kept() -> None:
    rows = [example(n, "open the door", call(f"tool_{n % 7}")) for n in range(20)]
    rows += [example(n + 20, "close it", call("close")) for n in range(20)]
    found = find_spans("open the door", rows, "requests", judge="json")[0]
    assert len(found.answers) == 5
    assert sum(found.answers.values()) < found.count == 20


def test_a_single_example_is_not_called_all() -> None:
    rows = [*lessons(), example(50, "call mom", call("call"))]
    span = next(span for span in find_spans("call mom", rows, "requests") if span.text == "call mom")
    assert ", of domain home" in describe_span(span)


def test_nothing_is_found_for_nothing() -> None:
    assert find_spans("", lessons(), "answers") == []
    assert find_spans(call("x"), [], "answers") == []


def test_at_most_so_many_spans_are_given() -> None:
    assert len(find_spans(" ".join(f"new{n}" for n in range(40)), lessons(), "answers", most=6)) == 6


def test_examples_are_streamed_and_not_held() -> None:
    class Stream(list[Example]):
        held = 0

        def __iter__(self) -> Iterator[Example]:
            for row in super().__iter__():
                type(self).held += 1
                yield row

    rows = Stream(lessons(10))
    find_spans(call("set_timer"), rows, "answers")
    assert Stream.held == 2 * len(rows)


@settings(max_examples=50)
@given(st.text(alphabet='ab -_"{}1', max_size=30), st.lists(st.text(alphabet='ab -_"{}1', max_size=15), max_size=8))
def test_a_span_is_text_of_the_answer_and_its_counts_add_up(text: str, answers: list[str]) -> None:
    rows = [example(number, "x", answer) for number, answer in enumerate(answers)]
    for span in find_spans(text, rows, "answers"):
        assert span.text in text
        assert sum(span.domains.values()) == sum(span.sources.values()) == sum(span.months.values()) == span.count


def test_a_span_without_dates_or_domains_is_told_without_them() -> None:
    span = Span(text="x", where="answers", count=2, total=500, domains={"": 2}, months={"": 2}, month_totals={"": 500})
    assert describe_span(span) == "`x` stands in 2 of 500 training answers"


def test_only_the_beginning_of_an_endless_answer_is_looked_up() -> None:
    endless = " ".join(["filler"] * 500 + ["needle"])
    rows = [*lessons(), example(90, "find it", "needle")]
    assert all("needle" not in span.text for span in find_spans(endless, rows, "answers"))


def test_a_copy_longer_than_eight_pieces_is_found_by_eight_of_them() -> None:
    copied = " ".join(f"part{n}" for n in range(12))
    rows = [*lessons(), example(90, "copy", copied)]
    longest = find_spans(copied, rows, "answers")[0]
    assert (len(longest.text.split()), longest.count) == (8, 1)


def test_the_same_text_is_found_whatever_its_blanks() -> None:
    rows = [*lessons(), example(90, "archive it", "tar  -czf   a")]
    assert find_spans("tar -czf a", rows, "answers")[0].count == 1
