"""Doubtful answers put before people: what a model was least sure of, where the numbers do not decide (PRM-06)."""

from cortex_cli.collect.redact import Redactor
from cortex_cli.domain.digests import content_id
from cortex_cli.domain.interactions import Interaction, Origin
from cortex_cli.evaluate.calibration import confidence_of
from cortex_cli.evaluate.scores import CaseResult, Scores
from cortex_cli.evaluate.suites import Case, Suite
from cortex_cli.pipeline.contenders import Contender
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import open_key

__all__ = ["put_before_people"]


def put_before_people(contender: Contender, suite: Suite, scores: Scores, *, limit: int) -> tuple[str, ...]:
    """Journal the *limit* answers of the least confidence, for `cortex review`, and return their ids.

    Text is redacted before it is kept. The same answer of the same variant to the same case is there once, however often
    it is evaluated. An answer without a confidence comes last. Its request is one of a suite: curation keeps what a suite
    asks out of training where the recipe names the suite, and a test part is told by its requests anyway.
    """
    pairs = [pair for pair in zip(suite.cases, scores.results, strict=True) if not pair[1].error]
    doubtful = sorted(pairs, key=lambda pair: (_confidence(pair[1]), pair[0].id))[:limit]
    records = [_record(contender, suite, case, result) for case, result in doubtful]
    workspace = contender.place.workspace
    with Journal(workspace.journal_path) as journal:
        new = [record for record in records if journal.find(record.id) is None]
        journal.append(Redactor(open_key(workspace)).redact_batch(new) if new else [])
    return tuple(record.id for record in records)


def _record(contender: Contender, suite: Suite, case: Case, result: CaseResult) -> Interaction:
    sure = confidence_of(result)
    told = {} if sure is None else {"confidence": f"{sure:.6f}"}
    return Interaction(
        id=content_id("i", [contender.key, case.id, result.answer], length=24),
        agent=contender.variant.agent,
        time=contender.place.time(),
        messages=case.messages,
        output=result.answer,
        variant=contender.variant.id,
        outcome="unknown",
        tokens_in=result.tokens_in,
        tokens_out=result.tokens_out,
        domain=case.domain,
        origin=Origin(f"evaluate {suite.name}"),
        meta={"suite": suite.name, "case": case.id, "judged": "right" if result.right else "wrong", **told},
    )


def _confidence(result: CaseResult) -> float:
    sure = confidence_of(result)
    return 2.0 if sure is None else sure
