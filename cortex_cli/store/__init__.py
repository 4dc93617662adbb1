"""What a workspace keeps on disk outside git: journal, objects, key, locks, settings.

In: bytes, records, paths. Out: digests, counts, typed settings. A write that returned survives a kill
and a power cut; what is read back was checked. It never knows what an agent, a recipe or a commit is.
"""

__all__ = [
    "atomic",
    "clock",
    "database",
    "erasing",
    "journal",
    "locks",
    "objects",
    "placeholders",
    "rows",
    "schema",
    "settings",
    "spool",
    "starter",
    "volumes",
    "workers",
    "workspace",
    "writing",
]
