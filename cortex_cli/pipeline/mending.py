"""Redaction of what was collected under other rules: a curation masks it before it learns from it."""

from collections.abc import Callable, Sequence

from cortex_cli.collect.records import Record
from cortex_cli.collect.redact import Policy, Redactor, current_stamp
from cortex_cli.curate.sifting import Redaction
from cortex_cli.pipeline.place import Place
from cortex_cli.store.workspace import open_key

__all__ = ["Policy", "make_mender", "open_redaction"]


def open_redaction(place: Place, policy: Policy) -> Redaction:
    """Return how a curation of *place* treats records that were not masked by *policy* as it is today.

    What was masked by a stricter policy is masked enough, and where nothing is to be masked everything is.
    """
    if policy == "off":
        return Redaction()
    stamp = current_stamp(policy)
    stamps = (stamp,) if policy == "strict" else (stamp, current_stamp("strict"))
    return Redaction(stamps, make_mender, (open_key(place.workspace), policy), stamp)


def make_mender(key: bytes, policy: Policy) -> Callable[[Sequence[Record]], list[Record]]:
    """Return the function that masks records under *key* by *policy*."""
    made: list[Redactor] = []

    def mend(records: Sequence[Record]) -> list[Record]:
        if not made:  # loading the weights takes a process longer than most curations need them
            made.append(Redactor(key, policy))
        return made[0].redact_batch(records)

    return mend
