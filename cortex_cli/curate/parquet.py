"""Parquet: columns with declared types, and everything nested as JSON text.

Nested columns are unsafe: Arrow, Polars and DuckDB give a tool the parameters of all other tools, and a message list
whose content is once a text and once a list becomes NULL. So nothing is inferred, and `messages` and `tools` are text.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cortex_cli.curate.export import Row
from cortex_cli.curate.toolcalls import answer_message, openai_messages
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import CortexError, MissingExtraError
from cortex_cli.domain.examples import Example
from cortex_cli.store.atomic import replacing, temporary_name

__all__ = ["EXAMPLE_COLUMNS", "example_rows", "read_parquet", "write_parquet"]

Columns = Mapping[str, str]

EXAMPLE_COLUMNS: Columns = {
    "id": "VARCHAR",
    "part": "VARCHAR",
    "agent": "VARCHAR",
    "domain": "VARCHAR",
    "source": "VARCHAR",
    "quality": "DOUBLE",
    "time": "VARCHAR",
    "interaction": "VARCHAR",
    "replayed": "BOOLEAN",
    "messages": "VARCHAR",
    "tools": "VARCHAR",
    "rejected": "VARCHAR",
}
# DuckDB sets aside twice its limit for a line of JSON, per thread, so the limit is the longest line there is.
_LEAST_LINE = 1 << 20
_MEMORY = "512MB"


def example_rows(examples: Iterable[Example], part: str) -> Iterator[Row]:
    """Yield the rows of a Parquet file of examples: messages with the answer in OpenAI's form, and tools, as JSON text."""
    for example in examples:
        messages = openai_messages((*example.messages, answer_message(example)))
        yield {
            "id": example.id,
            "part": part,
            "agent": example.agent,
            "domain": example.domain,
            "source": example.source,
            "quality": example.quality,
            "time": example.time,
            "interaction": example.interaction,
            "replayed": example.replayed,
            "messages": canonical_json(messages).decode(),
            "tools": example.tools or None,
            "rejected": example.rejected or None,
        }


def write_parquet(rows: Iterable[Row], columns: Columns, path: Path) -> int:
    """Write *rows* with *columns* (name to SQL type) to *path*, in the order given, compressed; return how many.

    Streams through a file of JSON lines beside *path*. On failure *path* is as it was. Raises `MissingExtraError`
    without DuckDB.
    """
    database = _connect()
    lines = path.with_name(temporary_name(path.name))
    try:
        with replacing(path) as target:
            count, longest = _write_lines(rows, lines)
            typed = ", ".join(f"{_quote(name)}: {_quote(kind)}" for name, kind in columns.items())
            source = f"read_json({_quote(str(lines))}, format='newline_delimited', columns={{{typed}}}, "
            source += f"maximum_object_size={max(_LEAST_LINE, longest + 1)})"
            names = ", ".join(f'"{name}"' for name in columns)
            options = "(FORMAT parquet, COMPRESSION zstd)"
            _run(database, f"COPY (SELECT {names} FROM {source}) TO {_quote(str(target))} {options}", path)  # noqa: S608 - names and paths are quoted
        return count
    finally:
        database.close()
        lines.unlink(missing_ok=True)


def read_parquet(path: Path) -> list[Row]:
    """Return the rows of a Parquet file, for looking into a small one."""
    database = _connect()
    try:
        found = database.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    finally:
        database.close()


def _connect() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("Parquet", "parquet") from error
    # No extension is fetched from anywhere, and rows keep their order.
    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "preserve_insertion_order": "true",
            "memory_limit": _MEMORY,
            "threads": "2",
        },
    )


def _write_lines(rows: Iterable[Row], path: Path) -> tuple[int, int]:
    count = longest = 0
    with path.open("xb") as stream:
        for row in rows:
            longest = max(longest, stream.write(canonical_json(row) + b"\n"))
            count += 1
    return count, longest


def _run(database: Any, statement: str, path: Path) -> None:
    import duckdb

    try:
        database.execute(statement)
    except duckdb.Error as error:
        raise CortexError(
            f"'{path}' cannot be written as Parquet: {str(error).splitlines()[0]}",
            hint="cortex dataset export DATASET --format messages -o FILE",
            state="nothing was changed",
        ) from error


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
