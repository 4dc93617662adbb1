"""Replayed traffic: real requests, a variant's own answers, verdicts derived from reference answers.

What a user would have said is replayed, never observed: accept when the answer is right, correct it
otherwise. Every record says so.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from cortex_cli.domain.examples import Answer, Generate
from cortex_cli.domain.interactions import Feedback, Interaction, Message, interaction_id
from cortex_cli.evaluate.judges import JudgeName, judge_answer
from cortex_cli.store.clock import rfc3339

__all__ = ["Period", "Request", "read_dispatch_requests", "replay_requests", "spread"]


class Request(NamedTuple):
    """A request with the answer that a user would have wanted."""

    text: str
    reference: str
    domain: str = ""


class Period(NamedTuple):
    """When replayed requests came in: evenly over *days* from *start*."""

    start: datetime
    days: float


def read_dispatch_requests(packs: Path, part: str) -> list[Request]:
    """Read the utterances of `clinc150/<part>` with the tool call that each asks for, and their domain."""
    domains = json.loads((packs / "clinc150" / "domains.json").read_text(encoding="utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    with gzip.open(packs / "clinc150" / f"{part}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [Request(row["text"], f'{{"tool": "{row["intent"]}"}}', domain_of.get(row["intent"], "")) for row in rows]


def replay_requests(
    generate: Generate, requests: Sequence[Request], *, agent: str, variant: str, judge: JudgeName, period: Period
) -> Iterator[bytes]:
    """Yield log lines in Cortex's own format: each request as *variant* answered it, then its verdict."""
    answers = generate([(Message("user", request.text),) for request in requests])
    step = timedelta(days=period.days) / max(1, len(requests))
    for number, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        time = rfc3339(period.start + number * step)
        right = not answer.error and judge_answer(judge, answer.text, request.reference)
        seen = _interaction(request, answer, agent=agent, variant=variant, time=time, right=right)
        yield from (msgspec.json.encode(record) + b"\n" for record in (seen, _verdict(seen, request, right=right)))


def _interaction(  # each value has its own source
    request: Request, answer: Answer, *, agent: str, variant: str, time: str, right: bool
) -> Interaction:
    draft = Interaction(
        id="",
        agent=agent,
        time=time,
        messages=(Message("user", request.text),),
        output=answer.text,
        variant=variant,
        outcome="error" if answer.error else "success" if right else "failure",
        error=answer.error,
        latency=round(answer.seconds, 6),
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        cost=0.0,
        domain=request.domain,
        replayed=True,
        meta=_meta(answer),
    )
    return msgspec.structs.replace(draft, id=interaction_id(draft))


def _meta(answer: Answer) -> dict[str, str]:
    confidence = {} if answer.logprob is None else {"logprob": f"{answer.logprob:.4f}"}
    return {"finish": answer.finish, **confidence}


def _verdict(seen: Interaction, request: Request, *, right: bool) -> Feedback:
    if right:
        return Feedback(id="", target=seen.id, kind="boolean", time=seen.time, thumbs=True, annotator="replayed")
    return Feedback(
        id="",
        target=seen.id,
        kind="demonstration",
        time=seen.time,
        demonstration=request.reference,
        annotator="replayed",
    )


def spread(requests: Sequence[Request], shares: Iterable[int]) -> list[list[Request]]:
    """Deal *requests* into consecutive groups of the given sizes, as far as they reach."""
    groups: list[list[Request]] = []
    start = 0
    for size in shares:
        groups.append(list(requests[start : start + size]))
        start += size
    return groups
