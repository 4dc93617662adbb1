"""Programs as answers: the code is taken out of its fence, its tests are put after it, and both run in the sandbox."""

import re
from typing import NamedTuple

from cortex_cli.domain.digests import digest_value
from cortex_cli.evaluate.sandbox import Limits, run_program

__all__ = ["Verdict", "judge_program", "take_code"]

_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)


class Verdict(NamedTuple):
    """Whether a program passed its tests, and if not, the last line of what it said."""

    passed: bool
    note: str = ""


def take_code(answer: str) -> str:
    """Return the code in *answer*: its fenced blocks one after the other, or all of it when there is no fence."""
    blocks = _FENCE.findall(answer)
    return "\n".join(blocks) if blocks else answer


def judge_program(answer: str, check: str, limits: Limits, *, unsafe: bool = False) -> Verdict:
    """Run the code of *answer* and after it *check*; it passes when the last line is reached.

    The last line writes a word made from both texts: a program that ends itself early, with whatever code, did not
    reach it. A program that computes that word would pass; this judges answers, it does not guard an examination.
    """
    code = take_code(answer)
    word = digest_value([code, check])[-16:]
    ran = run_program(f"{code}\n\n{check}\n\nprint({word!r})\n", limits, unsafe=unsafe)
    if ran.late:
        return Verdict(passed=False, note=f"not done after {limits.seconds} s")
    if ran.code == 0 and ran.output.rstrip().endswith(word):
        return Verdict(passed=True)
    said = ran.error.strip().splitlines()
    return Verdict(passed=False, note=said[-1][:200] if said else f"ended with code {ran.code} before its last line")
