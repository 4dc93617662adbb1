"""Settings with their provenance: flag, then CORTEX_* variable, then cortex.toml, then user file, then default."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from cortex_cli.domain.errors import Fault, FaultsError
from cortex_cli.domain.tables import table_faults

__all__ = ["Setting", "Settings", "explain_settings", "load_settings", "user_file"]


Days = Annotated[int, msgspec.Meta(ge=1, le=36500)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may decide about a workspace or a run of the tool.

    *name* of the workspace; *actor* recorded in commits; *redaction* of what is collected; *lock_wait* in
    seconds; *threads* for training and curation, 0 = one per core; *machine_price*
    in dollars per hour of this machine, for plans and budgets; *color* and *plain* for the terminal;
    *retention_days* says after how many days interactions are forgotten, by agent, "default" for all others.
    """

    schema: Literal[1] = 1
    name: str = ""
    actor: Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,100}\Z")] = "human"
    redaction: Literal["standard", "strict", "off"] = "standard"
    lock_wait: Annotated[float, msgspec.Meta(ge=0.0, le=86400.0)] = 30.0
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    machine_price: Annotated[float, msgspec.Meta(ge=0.0, le=10000.0)] = 0.0
    color: Literal["auto", "always", "never"] = "auto"
    plain: bool = False
    retention_days: dict[str, Days] = {}


class Setting(NamedTuple):
    """One setting: its *name*, its *value* and where that came from (file and line, variable, flag, default)."""

    name: str
    value: Any
    source: str


class _Layer(NamedTuple):
    source: str
    values: dict[str, Any]
    places: dict[str, str]


def load_settings(
    root: Path | None = None, *, env: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Settings:
    """Return the settings of the workspace at *root*, or outside of any when it is None.

    Flags that are None count as not given. Raises `FaultsError` with every fault of every source.
    """
    rows = explain_settings(root, env=env, flags=flags)
    return Settings(**{row.name: row.value for row in rows})


def explain_settings(
    root: Path | None = None, *, env: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> list[Setting]:
    """Return every setting with its value and source, in the order they are declared."""
    layers = [_flag_layer(flags or {}), _environment_layer(env), *_file_layers(root, env)]
    _check(layers)
    defaults = msgspec.structs.asdict(Settings())
    return [_resolve(name, default, layers) for name, default in defaults.items()]


def user_file(env: Mapping[str, str]) -> Path | None:
    """Return where the user's own settings would be: `$XDG_CONFIG_HOME/cortex/config.toml`."""
    base = env.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):  # the XDG specification: a relative path is invalid and ignored
        home = env.get("HOME", "")
        if not home:
            return None
        base = f"{home}/.config"
    return Path(base) / "cortex" / "config.toml"


def _resolve(name: str, default: Any, layers: list[_Layer]) -> Setting:
    for layer in layers:
        if name in layer.values:
            kind = next(field.type for field in msgspec.structs.fields(Settings) if field.name == name)
            return Setting(name, msgspec.convert(layer.values[name], kind), layer.places[name])
    return Setting(name, default, "default")


def _flag_layer(flags: Mapping[str, Any]) -> _Layer:
    values = {name: value for name, value in flags.items() if value is not None}
    return _Layer("flags", values, {name: f"flag --{name.replace('_', '-')}" for name in values})


def _environment_layer(env: Mapping[str, str]) -> _Layer:
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for field in msgspec.structs.fields(Settings):
        variable = f"CORTEX_{field.name.upper()}"
        if field.name != "schema" and env.get(variable, ""):
            values[field.name] = _from_text(env[variable], field.type)
            places[field.name] = f"variable {variable}"
    return _Layer("environment", values, places)


def _from_text(text: str, kind: Any) -> Any:
    if get_origin(kind) is dict:  # such as CORTEX_RETENTION_DAYS="default=90,dispatch=30"
        pairs = (item.partition("=") for item in text.split(","))
        return {name.strip(): _from_text(value.strip(), get_args(kind)[1]) for name, _, value in pairs}
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        return text  # the check reports it with its place and value


def _file_layers(root: Path | None, env: Mapping[str, str]) -> list[_Layer]:
    paths = [root / "cortex.toml" if root else None, user_file(env)]
    return [_file_layer(path) for path in paths if path is not None and path.is_file()]


def _file_layer(path: Path) -> _Layer:
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FaultsError(str(path), [Fault("", f"cannot be read as TOML: {error}")]) from error
    return _Layer(str(path), values, {name: f"{path}:{_line_of(name, text)}" for name in values})


def _line_of(name: str, text: str) -> int:
    pattern = re.compile(rf"\s*\[{{0,2}}\s*[\"']?{re.escape(name)}[\"']?\s*[=.\]]")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _check(layers: list[_Layer]) -> None:
    found = [
        (layer.source, Fault(_place(layer, fault), fault.what))
        for layer in layers
        for fault in table_faults(layer.values, Settings)
    ]
    if not found:
        return
    sources = {source for source, _ in found}
    source = sources.pop() if len(sources) == 1 else "settings"
    raise FaultsError(source, [fault for _, fault in found], hint="cortex config show")


def _place(layer: _Layer, fault: Fault) -> str:
    name = fault.where.split(".")[0]
    return f"{layer.places[name]} {fault.where}" if name in layer.places else fault.where
