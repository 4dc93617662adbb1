"""Typed tables: plain data from TOML to frozen structs and back, with all faults found together."""

import difflib
import tomllib
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from cortex_cli.domain.errors import Fault, FaultsError

__all__ = ["parse_table", "parse_toml", "table_faults", "to_plain"]

T = TypeVar("T", bound=msgspec.Struct)


def parse_toml(text: str, kind: type[T], *, source: str) -> T:
    """Parse TOML *text* into *kind*; raise `FaultsError` naming *source* and every fault in it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FaultsError(source, [Fault("", f"not TOML: {error}")]) from error
    return parse_table(data, kind, source=source)


def parse_table(data: dict[str, Any], kind: type[T], *, source: str) -> T:
    """Convert *data* into *kind*; raise `FaultsError` naming *source* and every fault in it."""
    faults = table_faults(data, kind)
    if faults:
        raise FaultsError(source, faults)
    return msgspec.convert(data, kind)


def table_faults(data: dict[str, Any], kind: type[msgspec.Struct], where: str = "") -> list[Fault]:
    """List every fault of *data* against *kind*: unknown keys with a suggestion, missing, wrong type."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    faults = [Fault(_join(where, key), _unknown(key, list(fields))) for key in data if key not in fields]
    for name, field in fields.items():
        if name not in data:
            if field.required:
                faults.append(Fault(_join(where, name), "is missing"))
            continue
        faults += _value_faults(data[name], field.type, _join(where, name))
    return faults or _whole_faults(data, kind, where)


def to_plain(value: msgspec.Struct) -> dict[str, Any]:
    """Turn a struct into plain data for TOML or JSON; fields that are None are left out."""
    plain = msgspec.to_builtins(value)
    return cast("dict[str, Any]", _without_none(plain))


def _value_faults(value: Any, kind: Any, where: str) -> list[Fault]:
    struct = _find_struct(kind)
    if get_origin(kind) is dict and isinstance(value, dict):
        inner = get_args(kind)[1]
        return [fault for key, item in value.items() for fault in _value_faults(item, inner, _join(where, key))]
    if struct and isinstance(value, dict):
        return table_faults(value, struct, where)
    if struct and isinstance(value, list) and all(isinstance(item, dict) for item in value):
        places = [f"{where}[{number}]" for number in range(len(value))]
        return [fault for item, place in zip(value, places, strict=True) for fault in table_faults(item, struct, place)]
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return [Fault(where, f"{error}, found {value!r}")]
    return []


def _find_struct(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct that *kind* is, or that it is a union with None or a tuple of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    found = [_find_struct(inner) for inner in get_args(kind)]
    return next((inner for inner in found if inner is not None), None)


def _whole_faults(data: dict[str, Any], kind: type[msgspec.Struct], where: str) -> list[Fault]:
    # A struct's own __post_init__ sees all fields at once, so it runs only when each is sound.
    try:
        msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        return [Fault(where, str(error))]
    return []


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"unknown key, did you mean {near[0]!r}?" if near else f"unknown key; known: {', '.join(sorted(known))}"


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
