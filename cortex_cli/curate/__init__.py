"""Interactions and judgements become a version of curated examples: bronze, silver, gold.

In: a stream of redacted records and a spec. Out: canonical JSONL parts in an object store, and the
manifest that counts what was kept and why the rest was not. It never reads the journal by itself,
never commits, and puts no user's text into the manifest.
"""

__all__ = ["engine", "export", "judging", "normal", "spec", "versions"]
