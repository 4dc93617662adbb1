"""Interactions and judgements become a version of curated examples: bronze, silver, gold.

In: a stream of redacted records and a spec. Out: canonical JSONL parts in an object store, and the
manifest that counts what was kept and why the rest was not. It never reads the journal by itself,
never commits, and puts no user's text into the manifest.
"""

__all__ = [
    "audit",
    "balance",
    "card",
    "choosing",
    "columns",
    "conflicts",
    "contamination",
    "drift",
    "duplicates",
    "engine",
    "export",
    "features",
    "gathering",
    "judging",
    "languages",
    "normal",
    "pairs",
    "parquet",
    "poisoning",
    "prefixes",
    "profiles",
    "quality",
    "queue",
    "representation",
    "ruling",
    "sifting",
    "sketches",
    "spec",
    "splitting",
    "spool",
    "symptoms",
    "toolcalls",
    "verdicts",
    "versions",
    "writing",
]
