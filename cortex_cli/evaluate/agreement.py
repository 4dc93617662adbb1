"""Agreement: which of several answers to one request most of them give.

Method: self-consistency, Wang et al. 2022, arXiv:2203.11171, with a judge in place of equal final answers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cortex_cli.evaluate.judges import JudgeName, judge_answer

__all__ = ["Majority", "find_majority"]


class Majority(NamedTuple):
    """The *answer* that most gave, as its first giver put it, and how many did: *votes*."""

    answer: str
    votes: int


def find_majority(answers: Sequence[str], judge: JudgeName) -> Majority | None:
    """Return the answer that more of *answers* give than any other, equal in the sense of *judge*.

    An answer that does not equal itself, such as broken JSON where JSON is judged, has no vote. None when no answer
    has one, or when two have as many.
    """
    groups: list[list[str]] = []
    for answer in answers:
        if not judge_answer(judge, answer, answer):
            continue
        group = next((group for group in groups if judge_answer(judge, answer, group[0])), None)
        if group is None:
            groups.append([answer])
        else:
            group.append(answer)
    ranked = sorted(groups, key=len, reverse=True)
    if not ranked or (len(ranked) > 1 and len(ranked[0]) == len(ranked[1])):
        return None
    return Majority(ranked[0][0], len(ranked[0]))
