from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.judging import Asked, Judgements, Opinion
from cortex_cli.curate.spec import FeedbackSpec
from cortex_cli.curate.spool import Spool
from cortex_cli.domain.interactions import Feedback, Scale

ASKED = Asked(("i-1", "chatcmpl-1", "trace:span"), "e-1")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path) as made:
        yield made


def thumbs(told: bool, name: str = "", target: str = "i-1", **fields: Any) -> Feedback:
    return Feedback(id="f", target=target, kind="boolean", time="", thumbs=told, name=name, **fields)


def score(value: float, name: str = "", scale: Scale | None = Scale(1.0, 5.0), **fields: Any) -> Feedback:  # noqa: B008 - a frozen value
    return Feedback(
        **{
            "id": "f",
            "target": "i-1",
            "kind": "score",
            "time": "",
            "name": name,
            "scale": scale,
            **fields,
            "score": value,
        }
    )


def correct(text: str, target: str = "i-1", **fields: Any) -> Feedback:
    return Feedback(id="f", target=target, kind="demonstration", time="", demonstration=text, **fields)


def comment(text: str) -> Feedback:
    return Feedback(id="f", target="i-1", kind="comment", time="", comment=text)


def opinion(spool: Spool, *feedback: Feedback, asked: Asked = ASKED, **spec: Any) -> Opinion | None:
    return Judgements(enumerate(feedback, 1), FeedbackSpec(**spec), spool).opinions([asked])[0]


def test_who_was_not_spoken_of_has_no_opinion(spool: Spool) -> None:
    assert opinion(spool) is None
    assert opinion(spool, thumbs(True, target="i-2")) is None


def test_votes_of_judges_are_counted(spool: Spool) -> None:
    assert opinion(spool, thumbs(True, "a"), thumbs(True, "b"), thumbs(False, "c")) == Opinion(yes=2, no=1)


def test_the_last_word_of_a_judge_counts(spool: Spool) -> None:
    assert opinion(spool, thumbs(False, "a"), thumbs(True, "b"), thumbs(True, "a")) == Opinion(yes=2)
    assert opinion(spool, score(1.0, "a"), score(5.0, "a")) == Opinion(scores=(1.0,))


def test_the_last_word_is_that_of_the_journal_not_of_the_stream(spool: Spool) -> None:
    backwards = [(2, thumbs(False)), (1, thumbs(True))]
    assert Judgements(backwards, FeedbackSpec(), spool).opinions([ASKED]) == [Opinion(no=1)]


def test_a_score_does_not_take_back_a_vote(spool: Spool) -> None:
    assert opinion(spool, thumbs(True, "a"), score(5.0, "a")) == Opinion(yes=1, scores=(1.0,))


def test_every_name_of_an_interaction_finds_its_feedback(spool: Spool) -> None:
    told = [thumbs(True, "a"), thumbs(True, "b", "chatcmpl-1"), thumbs(False, "c", "trace:span")]
    assert opinion(spool, *told) == Opinion(yes=2, no=1)


def test_the_last_word_counts_across_names(spool: Spool) -> None:
    assert opinion(spool, thumbs(False, "a", "chatcmpl-1"), thumbs(True, "a")) == Opinion(yes=1)
    assert opinion(spool, thumbs(True, "a"), thumbs(False, "a", "chatcmpl-1")) == Opinion(no=1)


def test_two_records_with_one_alias_share_what_was_said_of_it(spool: Spool) -> None:
    judgements = Judgements([(1, thumbs(True, target="task-1"))], FeedbackSpec(), spool)
    both = [Asked(("i-1", "task-1"), ""), Asked(("i-2", "task-1"), "")]
    assert judgements.opinions(both) == [Opinion(yes=1), Opinion(yes=1)]


def test_scores_are_read_on_their_scale(spool: Spool) -> None:
    assert opinion(spool, score(4.0)) == Opinion(scores=(0.75,))
    assert opinion(spool, score(0.5, scale=Scale(0.0, 1.0))) == Opinion(scores=(0.5,))


@pytest.mark.parametrize("scale", [None, Scale(1.0, 1.0), Scale(5.0, 1.0)])
def test_a_score_without_a_scale_is_never_compared(spool: Spool, scale: Scale | None) -> None:
    assert opinion(spool, score(4.0, scale=scale)) == Opinion(unscaled=True)


def test_comments_are_noticed_and_carry_no_verdict(spool: Spool) -> None:
    found = opinion(spool, comment("great"))
    assert found == Opinion(commented=True)
    assert not found.spoken


def test_the_last_demonstration_counts_with_its_stamp(spool: Spool) -> None:
    told = [correct("ls -l", redaction="standard/1"), correct("ls -a", redaction="standard/2")]
    assert opinion(spool, *told) == Opinion(demonstration="ls -a", stamp="standard/2")
    assert opinion(spool, correct("grün – 42")) == Opinion(demonstration="grün – 42")  # noqa: RUF001 - bytes of more than one


def test_a_verdict_on_the_episode_holds_where_nobody_judged_the_interaction(spool: Spool) -> None:
    episode = thumbs(True, target="e-1", target_kind="episode")
    assert opinion(spool, episode) == Opinion(yes=1)
    assert opinion(spool, episode, thumbs(False)) == Opinion(no=1)
    assert opinion(spool, episode, correct("x")) == Opinion(yes=1, demonstration="x")
    assert opinion(spool, episode, asked=Asked(("i-1",), "")) is None


def test_a_demonstration_on_the_episode_is_for_its_last_interaction(spool: Spool) -> None:
    told = correct("better", "e-1", target_kind="episode", annotator="replayed")
    judgements = Judgements([(1, told), (2, thumbs(True))], FeedbackSpec(), spool)
    assert judgements.demonstrated([ASKED, Asked(("i-2",), "e-2"), Asked(("i-3",), "")]) == [True, False, False]
    assert judgements.opinions([ASKED]) == [Opinion(yes=1)]
    assert judgements.closing_opinions([ASKED]) == [Opinion(yes=1, demonstration="better", replayed=True)]


def test_its_own_demonstration_goes_before_that_of_the_episode(spool: Spool) -> None:
    judgements = Judgements([(1, correct("own")), (2, correct("whole", "e-1"))], FeedbackSpec(), spool)
    assert judgements.closing_opinions([ASKED]) == [Opinion(demonstration="own")]


def test_a_replayed_user_is_marked(spool: Spool) -> None:
    assert opinion(spool, thumbs(True, annotator="replayed")) == Opinion(yes=1, replayed=True)
    assert opinion(spool, correct("x", annotator="replayed")) == Opinion(demonstration="x", replayed=True)


def test_only_wanted_annotators_are_listened_to(spool: Spool) -> None:
    told = [thumbs(True, "a"), thumbs(False, "b", annotator="model"), score(1.0, annotator="code")]
    assert opinion(spool, *told, annotators=("human",)) == Opinion(yes=1)


def test_feedback_that_says_nothing_is_counted_and_ignored(spool: Spool) -> None:
    judgements = Judgements(
        [(3, thumbs(True)), (7, Feedback(id="f", target="i-1", kind="score", time=""))], FeedbackSpec(), spool
    )
    assert judgements.opinions([ASKED]) == [Opinion(yes=1)]
    assert (judgements.count, judgements.first, judgements.last) == (2, 3, 7)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc"), st.booleans())), st.randoms(use_true_random=False))
def test_any_order_of_the_stream_gives_what_a_plain_fold_gives(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, str, bool]], chance: Any
) -> None:
    last: dict[int, dict[str, bool]] = {}
    for target, judge, verdict in told:
        last.setdefault(target, {})[judge] = verdict
    rows = [(seq, thumbs(verdict, judge, f"i-{target}")) for seq, (target, judge, verdict) in enumerate(told, 1)]
    chance.shuffle(rows)
    with Spool(tmp_path_factory.getbasetemp()) as spool:
        found = Judgements(rows, FeedbackSpec(), spool).opinions([Asked((f"i-{target}",), "") for target in range(5)])
    for target, each in enumerate(found):
        verdicts = list(last.get(target, {}).values())
        assert each == (Opinion(yes=sum(verdicts), no=len(verdicts) - sum(verdicts)) if verdicts else None)
