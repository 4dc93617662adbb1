"""JSON Schema as a judge: does the answer parse, and is it what the schema says?"""

import json
from typing import Any, Protocol

from cortex_cli.domain.errors import MissingExtraError, UsageError

__all__ = ["open_schema"]


class Check(Protocol):
    """A schema ready to be used."""

    def __call__(self, answer: str) -> str:
        """Return what is wrong with *answer*, empty when nothing is."""
        ...


def open_schema(schema: dict[str, Any] | bool) -> Check:
    """Return the check of *schema*, draft 2020-12 unless it names another; references to other files are not followed.

    Raises `UsageError` for what is no schema, `MissingExtraError` without the library.
    """
    try:
        import jsonschema
        from referencing import Registry
    except ImportError as error:
        raise MissingExtraError("the judge 'schema'", "evaluate") from error
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UsageError(f"the schema is not one: {error.message}", state="nothing was evaluated") from error
    # An empty registry: a reference to another document is an error, never a download.
    validator = kind(schema, registry=Registry())

    def check(answer: str) -> str:
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError) as error:
            return f"not JSON: {error}"
        found = next(iter(validator.iter_errors(value)), None)
        return f"{found.json_path}: {found.message}"[:300] if found else ""

    return check
