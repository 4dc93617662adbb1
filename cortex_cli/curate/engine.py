"""The curation itself: judge every interaction, drop duplicates, split, write the parts.

Two passes. The first takes every record through the workers and keeps 200 bytes of numbers of each that may become
an example, its line in a nameless file; then the numbers are sorted, grouped and thinned; the second writes the lines
that stay. The result depends on the set of records, the spec and the key, never on their order or on how many
processes worked: who survives among duplicates is decided by source, quality, time and id.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from cortex_cli.curate.choosing import Chosen, choose
from cortex_cli.curate.columns import REPLAYED
from cortex_cli.curate.gathering import Found, Workshop, gather
from cortex_cli.curate.judging import Judgements
from cortex_cli.curate.normal import ALGORITHMS
from cortex_cli.curate.pairs import find_pairs
from cortex_cli.curate.ruling import VALIDITY
from cortex_cli.curate.sifting import RANKS
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.curate.splitting import name_parts
from cortex_cli.curate.spool import Spool
from cortex_cli.curate.writing import Lines, collect_lines, write_lines
from cortex_cli.domain.interactions import Feedback
from cortex_cli.domain.manifests import Blob, DatasetVersion, dataset_digest
from cortex_cli.store.objects import ObjectStore

__all__ = ["Curated", "Records", "curate"]

_WORKSHOP = Workshop()


class Records(NamedTuple):
    """A range of a journal: interactions as JSON text and feedback, each with its number.

    Everything up to the number *until* was looked at, also where other agents have it; 0 when that is not known.
    """

    interactions: Iterable[tuple[int, bytes]]
    feedback: Iterable[tuple[int, Feedback]]
    until: int = 0


class Curated(NamedTuple):
    """What was made: a manifest that still lacks version, parent, recipe and time, and ids of rejected records.

    *rejected* holds up to three interaction ids per reason, to look at; they are not for git.
    """

    version: DatasetVersion
    rejected: dict[str, list[str]]


def curate(
    records: Records, spec: CurateSpec, *, store: ObjectStore, key: bytes, shop: Workshop = _WORKSHOP
) -> Curated:
    """Make the dataset that *spec* describes of *records* under the workspace *key*, writing its parts into *store*.

    In memory: about 250 bytes per example that was judged sound and 40 per judgement; rejected interactions cost
    nothing. On disk meanwhile: the examples' lines. On failure the store may hold objects that no manifest names,
    for `gc`.
    """
    with Spool(store.root / "tmp") as spool:
        judgements = Judgements(records.feedback, spec.feedback, spool)
        found = gather(records.interactions, spec, judgements, shop._replace(key=key), spool)
        chosen = choose(found, spec, spool, shop)
        pairs = find_pairs(found.examples, chosen.rows, found.answers, spec.pairs.per_prompt)
        lines = collect_lines(found, chosen, pairs, spool)
        shop.told("write", len(lines.table["id"]))
        parts, lineage = write_lines(lines, name_parts(spec.split), spool, store)
    version = _describe(found, chosen, lines, judgements)
    named = msgspec.structs.replace(
        version,
        name=spec.dataset or spec.agent,
        agent=spec.agent,
        parts=parts,
        lineage=lineage,
        journal=_range(records, found, judgements),
        digest=dataset_digest(parts, lineage),
    )
    return Curated(named, found.samples)


def _describe(found: Found, chosen: Chosen, lines: Lines, judgements: Judgements) -> DatasetVersion:
    """Return a manifest with counts alone."""
    return DatasetVersion(
        name="",
        version="",
        agent="",
        parts={},
        lineage=Blob("", "", 0),
        counts=_counts(found, chosen, lines, judgements),
        rejected=dict(sorted(found.reasons.items())),
        origins=_origins(found, chosen, lines),
        contaminated=dict(sorted(found.suites.items())),
        algorithms=dict(ALGORITHMS),
        redaction=", ".join(sorted(stamp for stamp in found.stamps if stamp)),
        digest="",
    )


def _counts(found: Found, chosen: Chosen, lines: Lines, judgements: Judgements) -> dict[str, int]:
    """Return the totals: read = examples + all that was rejected; valid = read - what is no sound example of anything.

    Lines are examples and the pairs that stand beside them as rows of their own.
    """
    extra = int(np.count_nonzero(lines.table["extra"]))
    return {
        "read": found.read,
        "valid": found.read - sum(found.reasons[reason] for reason in VALIDITY),
        "feedback": judgements.count,
        "examples": len(chosen.rows),
        "pairs": int(np.count_nonzero(lines.table["pair"])),
        "pair_rows": extra,
        "replayed": int(np.count_nonzero(found.examples["flags"][chosen.rows] & REPLAYED)),
    }


def _origins(found: Found, chosen: Chosen, lines: Lines) -> dict[str, int]:
    ranks = Counter(found.examples["rank"][chosen.rows].tolist())
    counts = {RANKS[rank]: count for rank, count in ranks.items()}
    if extra := int(np.count_nonzero(lines.table["extra"])):
        counts["pair"] = extra
    return dict(sorted(counts.items()))


def _range(records: Records, found: Found, judgements: Judgements) -> tuple[int, int]:
    firsts = [first for first in (found.first, judgements.first) if first]
    return min(firsts, default=0), max(found.last, judgements.last, records.until if firsts else 0)
