"""Logs of any producer become interactions and feedback.

In: files, folders or standard input, in a format that is recognised from their content. Out: records,
redacted before anybody can write them, and for every line that could not be one its place and reason.
It never drops a line silently, never writes, and knows no journal and no registry.
"""

__all__ = [
    "completions",
    "conversations",
    "cursors",
    "databases",
    "documents",
    "evaluations",
    "examples",
    "exchanges",
    "flattened",
    "following",
    "formats",
    "inferences",
    "judgements",
    "lines",
    "masking",
    "measures",
    "otlp",
    "otlp_bodies",
    "patterns",
    "personal",
    "plans",
    "reading",
    "receiver",
    "records",
    "redact",
    "reports",
    "responses",
    "secrets",
    "sources",
    "span_exports",
    "span_messages",
    "span_redaction",
    "span_tree",
    "streams",
    "turns",
]
