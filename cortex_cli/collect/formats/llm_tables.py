"""The tables of the `llm` tool's log database, read call by call and never written.

The file is opened read-only while the tool may be writing to it, so what was logged last is seen too.
Schemas: https://llm.datasette.io/en/stable/logging.html; `llm/migrations.py` has all of them.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from cortex_cli.collect.records import BadRecordError

__all__ = ["read_calls"]

_CURRENT = {"turns", "messages", "parts"}
# Messages are linked to the one before; damaged ones may form a circle, and no conversation is this long.
_DEPTH = 10_000
_CHAIN = """
with recursive chain(hash, parent_hash, role, depth) as (
  select hash, parent_hash, role, 0 from messages where hash = :tip
  union all
  select above.hash, above.parent_hash, above.role, chain.depth + 1
  from messages above join chain on above.hash = chain.parent_hash where chain.depth < :depth
)
select chain.hash, chain.parent_hash, chain.role, chain.depth, parts.type, parts.text, parts.payload
from chain left join parts on parts.message_hash = chain.hash order by chain.depth desc, parts.position
"""
_Row = dict[str, Any]


def read_calls(path: Path) -> Iterator[_Row]:
    """Yield every call of a model that the database at *path* has, oldest schema last.

    A call that is not whole is a value with a `fault`. Raises `BadRecordError` for tables that are not those of
    llm, and `sqlite3.Error` when the file is damaged.
    """
    with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as database:
        database.row_factory = _name_columns
        database.text_factory = _read_text
        tables = {row["name"] for row in database.execute("select name from sqlite_master where type = 'table'")}
        if not (tables >= _CURRENT or "responses" in tables):
            raise BadRecordError("unknown_schema", f"no tables of llm among {', '.join(sorted(tables)[:8])}")
        if tables >= _CURRENT:
            yield from _read_turns(database)
        if "responses" in tables:
            yield from _read_responses(database, tables)


def _read_turns(database: sqlite3.Connection) -> Iterator[_Row]:
    for turn in database.execute("select * from turns order by id"):
        told = list(_read_chain(database, turn.get("tip_message_hash")))
        whole = bool(told) and told[0]["parent"] is None
        split = next((n for n, message in enumerate(told) if message["hash"] == turn.get("parent_message_hash")), -1)
        if not whole or (split < 0 and turn.get("parent_message_hash") is not None):
            yield _fault("incomplete_export", f"messages of the turn {turn.get('id')!r} are missing")
            continue
        yield {
            "llm": _describe(turn, turn.get("thread_id")),
            "messages": told[: split + 1],
            "answers": told[split + 1 :],
            "tools": _read_tools(database, "turn_tools", "turn_id", turn.get("id")),
        }


def _read_chain(database: sqlite3.Connection, tip: Any) -> Iterator[_Row]:
    """Yield the messages that end with *tip*, oldest first."""
    message: _Row = {}
    for row in database.execute(_CHAIN, {"tip": tip, "depth": _DEPTH}):
        if message.get("depth") != row["depth"]:
            if message:
                yield message
            kept = {"hash": row["hash"], "parent": row["parent_hash"], "depth": row["depth"]}
            message = {**kept, "role": row["role"], "content": []}
        if row["type"] is not None:
            message["content"] += _read_part(database, row)
    if message:
        yield message


def _read_part(database: sqlite3.Connection, row: _Row) -> list[_Row]:
    part = {**_read_json(row["payload"]), "type": row["type"]}
    pieces = part.pop("text_ref", None)
    part["text"] = row["text"] if pieces is None else _join_pieces(database, pieces)
    # A picture among a result of a tool is a part that cannot be kept, as it is beside a prompt.
    return [part, {"type": "attachment"}] if part.get("attachments") else [part]


def _join_pieces(database: sqlite3.Connection, pieces: Any) -> str | None:
    """Return the text of *pieces*, literal and borrowed from fragments; None when a fragment is gone."""
    texts: list[str] = []
    for piece in pieces if isinstance(pieces, list) else []:
        found = piece.get("literal") if isinstance(piece, dict) else None
        if found is None and isinstance(piece, dict):
            rows = database.execute("select content from fragments where id = ?", [piece.get("fragment")]).fetchall()
            found = rows[0]["content"] if rows else None
        if not isinstance(found, str):
            return None
        texts.append(found)
    return "".join(texts)


def _read_responses(database: sqlite3.Connection, tables: set[str]) -> Iterator[_Row]:
    """Yield the calls of versions before the tree of messages, each with those before it in its conversation."""
    known = "where id not in (select id from turns)" if "turns" in tables else ""
    query = f"select * from responses {known} order by conversation_id, datetime_utc, id"  # noqa: S608 - of two constants
    conversation: Any = None
    said: list[_Row] = []
    system = ""
    for row in database.execute(query):
        if row.get("conversation_id") is None or row["conversation_id"] != conversation:
            conversation, said, system = row.get("conversation_id"), [], ""
        asked, system = _read_request(database, tables, row, system)
        text = {"type": "text", "text": row.get("response") or ""}
        answer = {"role": "assistant", "content": [text, *_read_uses(database, tables, "tool_calls", row)]}
        said = [*said, *asked]
        yield {
            "llm": _describe(row, row.get("conversation_id")),
            "messages": said,
            "answers": [answer],
            "tools": _read_tools(database, "tool_responses", "response_id", row.get("id"), tables),
        }
        said = [*said, answer]


def _read_request(database: sqlite3.Connection, tables: set[str], row: _Row, system: str) -> tuple[list[_Row], str]:
    """Return the messages that the call *row* added, and the system prompt that holds from there on."""
    told = "\n\n".join([*_read_fragments(database, tables, "system_fragments", row), *_texts(row.get("system"))])
    results = _read_uses(database, tables, "tool_results", row)
    prompt = "\n".join([*_read_fragments(database, tables, "prompt_fragments", row), *_texts(row.get("prompt"))])
    content: list[_Row] = [{"type": "text", "text": prompt}] if prompt else []
    if "prompt_attachments" in tables:
        query = "select 'attachment' as type from prompt_attachments where response_id = ?"
        content += database.execute(query, [row.get("id")]).fetchall()
    asked: list[_Row] = [{"role": "system", "content": told}] if told and told != system else []
    asked += [{"role": "tool", "content": results}] if results else []
    asked += [{"role": "user", "content": content}] if content else []
    return asked, told or system


def _read_fragments(database: sqlite3.Connection, tables: set[str], table: str, row: _Row) -> list[str]:
    if table not in tables:
        return []
    query = f'select content from fragments join {table} on fragment_id = fragments.id where response_id = ? order by "order"'  # noqa: S608 - one of two constants
    return [told["content"] for told in database.execute(query, [row.get("id")])]


def _read_uses(database: sqlite3.Connection, tables: set[str], table: str, row: _Row) -> list[_Row]:
    if table not in tables:
        return []
    found = database.execute(f"select * from {table} where response_id = ? order by id", [row.get("id")])  # noqa: S608 - one of two constants
    return [{**told, "id": None, "type": table.removesuffix("s")} for told in found]


def _read_tools(
    database: sqlite3.Connection, table: str, column: str, number: Any, tables: set[str] | None = None
) -> list[_Row]:
    if tables is not None and table not in tables:
        return []
    query = f"select name, description, input_schema from tools join {table} on tool_id = tools.id where {column} = ?"  # noqa: S608 - of constants
    found = database.execute(f"{query} order by tools.id", [number])
    return [
        {"name": row["name"], "description": row["description"], "parameters": _read_json(row["input_schema"]) or None}
        for row in found
    ]


def _describe(row: _Row, conversation: Any) -> _Row:
    names = ("id", "model", "resolved_model", "schema_id", "input_tokens", "output_tokens", "duration_ms")
    kept = {name: row.get(name) for name in (*names, "datetime_utc")}
    return {**kept, "conversation": conversation or row.get("id")}


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) and value else []


def _read_json(text: Any) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text) if isinstance(text, str) and text else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # The part has a type and no content then, which the parser tells.
        return {}
    return found if isinstance(found, dict) else {}


def _fault(reason: str, detail: str) -> _Row:
    return {"llm": {}, "messages": [], "answers": [], "fault": reason, "detail": detail}


def _name_columns(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> _Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _read_text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
