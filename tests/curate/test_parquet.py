"""Parquet: nothing is inferred, so nothing is lost between two rows that differ."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.curate.parquet import EXAMPLE_COLUMNS, example_rows, read_parquet, write_parquet
from cortex_cli.domain.errors import CortexError, MissingExtraError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

TEXTS = {"id": "VARCHAR", "messages": "VARCHAR", "tools": "VARCHAR"}


def tool(name: str, *parameters: str) -> dict[str, Any]:
    properties = {each: {"type": "string"} for each in parameters}
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


def test_tools_with_different_parameters_come_back_unchanged(tmp_path: Path) -> None:
    tools = [[tool("weather", "city")], [tool("roll", "n", "sides"), tool("weather", "city")]]
    rows = [{"id": str(at), "messages": "[]", "tools": json.dumps(each)} for at, each in enumerate(tools)]
    assert write_parquet(rows, TEXTS, tmp_path / "x.parquet") == 2
    found = read_parquet(tmp_path / "x.parquet")
    assert [json.loads(row["tools"]) for row in found] == tools
    assert found == rows


def test_content_that_is_once_a_text_and_once_a_list_comes_back_unchanged(tmp_path: Path) -> None:
    contents: list[Any] = ["hello", [{"type": "text", "text": "hello"}], None]
    rows = [
        {"id": str(at), "messages": json.dumps([{"role": "user", "content": content}]), "tools": None}
        for at, content in enumerate(contents)
    ]
    write_parquet(rows, TEXTS, tmp_path / "x.parquet")
    assert [json.loads(row["messages"])[0]["content"] for row in read_parquet(tmp_path / "x.parquet")] == contents


def test_examples_keep_all_they_are(tmp_path: Path) -> None:
    calls = json.dumps([{"id": "c", "type": "function", "function": {"name": "roll", "arguments": '{"n":2}'}}])
    example = Example(
        id="x-1",
        agent="dice",
        messages=(Message("system", "be brief"), Message("user", "roll 'two'\n\"dice\"; \\ é 🎲")),
        answer=calls,
        calls=calls,
        tools=json.dumps([tool("roll", "n")]),
        rejected="no",
        source="correction",
        domain="games",
        time="2026-01-02T03:04:05Z",
        interaction="k-1",
        replayed=True,
    )
    assert write_parquet(example_rows([example], "train"), EXAMPLE_COLUMNS, tmp_path / "x.parquet") == 1
    (row,) = read_parquet(tmp_path / "x.parquet")
    messages = json.loads(row["messages"])
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"] == example.messages[1].content
    assert messages[2]["tool_calls"][0]["function"]["arguments"] == '{"n":2}'
    assert (row["tools"], row["part"], row["replayed"], row["time"]) == (example.tools, "train", True, example.time)


def test_rows_keep_their_order_and_types_are_declared(tmp_path: Path) -> None:
    columns = {"n": "BIGINT", "share": "DOUBLE", "yes": "BOOLEAN"}
    rows = [{"n": at, "share": at / 7 if at % 2 else None, "yes": at % 3 == 0} for at in range(5000)]
    write_parquet(iter(rows), columns, tmp_path / "x.parquet")
    assert read_parquet(tmp_path / "x.parquet") == rows


def test_a_text_that_looks_like_a_date_or_a_number_stays_text(tmp_path: Path) -> None:
    rows = [{"id": text, "messages": None, "tools": None} for text in ("2026-01-02T03:04:05Z", "007", "null", "")]
    write_parquet(rows, TEXTS, tmp_path / "x.parquet")
    assert [row["id"] for row in read_parquet(tmp_path / "x.parquet")] == ["2026-01-02T03:04:05Z", "007", "null", ""]


def test_a_row_of_many_megabytes_fits(tmp_path: Path) -> None:
    rows = [{"id": "1", "messages": "x" * 20_000_000, "tools": None}]
    write_parquet(rows, TEXTS, tmp_path / "x.parquet")
    assert len(read_parquet(tmp_path / "x.parquet")[0]["messages"]) == 20_000_000


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    assert write_parquet([], TEXTS, tmp_path / "x.parquet") == 0
    assert read_parquet(tmp_path / "x.parquet") == []


def test_a_path_with_a_quote_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "it's; DROP.parquet"
    write_parquet([{"id": "1", "messages": None, "tools": None}], TEXTS, path)
    assert len(read_parquet(path)) == 1


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet([{"id": "1", "messages": None, "tools": None}], TEXTS, path)
    before = path.read_bytes()
    with pytest.raises(CortexError, match="cannot be written as Parquet"):
        write_parquet([{"id": "1"}], {"id": "NO_SUCH_TYPE"}, path)
    with pytest.raises(ZeroDivisionError):
        write_parquet(({"id": 1 // at} for at in (1, 0)), TEXTS, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_duckdb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match="'parquet' extra"):
        write_parquet([], TEXTS, tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
