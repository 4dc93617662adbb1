"""Logs of any producer become interactions and feedback.

In: files, folders or standard input, in a format that is recognised from their content. Out: records,
redacted before anybody can write them, and for every line that could not be one its place and reason.
It never drops a line silently, never writes, and knows no journal and no registry.
"""

__all__ = ["formats", "patterns", "reading", "records", "redact", "reports", "sources"]
