"""OpenInference spans (Arize Phoenix): OTLP in JSON, REST answers and data frames, with their annotations.

Source: https://arize-ai.github.io/openinference/spec/attributes/semantic-conventions.html. Attributes may be flat,
nested, or columns of a table; spans of OpenTelemetry GenAI in the same trace are read alike.
"""

from typing import Any

from cortex_cli.collect.formats.otel import SpanParser, mentions
from cortex_cli.collect.otlp import is_container
from cortex_cli.collect.records import Format
from cortex_cli.collect.span_exports import is_export

__all__ = ["FORMAT"]


def _recognises(value: dict[str, Any]) -> bool:
    return (is_container(value) or is_export(value)) and mentions(value, "openinference.")


FORMAT = Format(
    "openinference",
    "OpenInference spans of Phoenix and its instrumentations, with annotations",
    _recognises,
    SpanParser,
    joins=True,
    together=True,
)
