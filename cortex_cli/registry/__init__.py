"""The record: manifests and live state in an ordinary git repository, and the audit trail over them.

In: typed manifests and the intent of one change. Out: snapshots read at one commit, and commits that
carry their own account. It writes only through git plumbing under one lock, touches only the paths of
its change, never rewrites history, and never holds any user's text.
"""

__all__ = [
    "actions",
    "audit",
    "catfile",
    "copies",
    "doctor",
    "fsck",
    "gc",
    "git",
    "history",
    "preconditions",
    "repair",
    "repository",
    "revoking",
    "snapshot",
    "start",
    "trailers",
    "trees",
]
