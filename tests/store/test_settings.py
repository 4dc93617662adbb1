from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex_cli.domain.errors import FaultsError
from cortex_cli.store.settings import Settings, explain_settings, load_settings, user_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "xdg" / "cortex").mkdir(parents=True)
    return {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}


def sources(root: Path | None, env: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> dict[str, str]:
    return {row.name: row.source for row in explain_settings(root, env=env, flags=flags)}


def write_user(env: Mapping[str, str], text: str) -> Path:
    path = user_file(env)
    assert path is not None
    path.write_text(text)
    return path


def test_without_any_source_the_defaults_hold(env: dict[str, str]) -> None:
    assert load_settings(env=env) == Settings()
    assert set(sources(None, env).values()) == {"default"}


def test_each_source_overrides_the_next(root: Path, env: dict[str, str]) -> None:
    write_user(env, "lock_wait = 1\n")
    assert load_settings(root, env=env).lock_wait == 1.0
    (root / "cortex.toml").write_text("lock_wait = 2\n")
    assert load_settings(root, env=env).lock_wait == 2.0
    env["CORTEX_LOCK_WAIT"] = "3"
    assert load_settings(root, env=env).lock_wait == 3.0
    assert load_settings(root, env=env, flags={"lock_wait": 4.0}).lock_wait == 4.0


def test_every_value_names_where_it_came_from(root: Path, env: dict[str, str]) -> None:
    user = write_user(env, "\ncolor = 'never'\n")
    (root / "cortex.toml").write_text("# mine\nschema = 1\nname = 'shop'\n")
    env["CORTEX_THREADS"] = "2"
    found = sources(root, env, {"plain": True, "actor": None})
    assert found == {
        "schema": f"{root / 'cortex.toml'}:2",
        "name": f"{root / 'cortex.toml'}:3",
        "actor": "default",
        "redaction": "default",
        "lock_wait": "default",
        "threads": "variable CORTEX_THREADS",
        "machine_price": "default",
        "color": f"{user}:2",
        "plain": "flag --plain",
        "retention_days": "default",
    }


def test_retention_is_told_by_agent(root: Path, env: dict[str, str]) -> None:
    (root / "cortex.toml").write_text("[retention_days]\ndefault = 90\ndispatch = 30\n")
    assert load_settings(root, env=env).retention_days == {"default": 90, "dispatch": 30}
    assert sources(root, env)["retention_days"] == f"{root / 'cortex.toml'}:1"
    env["CORTEX_RETENTION_DAYS"] = "default = 7, shell=8"
    assert load_settings(root, env=env).retention_days == {"default": 7, "shell": 8}


@pytest.mark.parametrize("text", ["dispatch = 0", "dispatch = 'a week'", "dispatch = 1.5"])
def test_a_retention_that_is_no_number_of_days_is_a_fault(root: Path, env: dict[str, str], text: str) -> None:
    (root / "cortex.toml").write_text(f"[retention_days]\n{text}\n")
    with pytest.raises(FaultsError, match=r"retention_days\.dispatch"):
        load_settings(root, env=env)


def test_a_variable_that_is_no_retention_is_a_fault(env: dict[str, str]) -> None:
    with pytest.raises(FaultsError, match="CORTEX_RETENTION_DAYS"):
        load_settings(env=env | {"CORTEX_RETENTION_DAYS": "dispatch"})


def test_a_flag_that_was_not_given_decides_nothing(env: dict[str, str]) -> None:
    assert load_settings(env=env, flags={"actor": None}).actor == "human"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_a_variable_is_read_as_its_type(env: dict[str, str], text: str, value: bool) -> None:
    assert load_settings(env={**env, "CORTEX_PLAIN": text}).plain is value


def test_an_empty_variable_counts_as_not_set(env: dict[str, str]) -> None:
    assert load_settings(env={**env, "CORTEX_ACTOR": ""}).actor == "human"


def test_variables_of_others_are_left_alone(env: dict[str, str]) -> None:
    assert load_settings(env={**env, "CORTEX_WORKSPACE": "/somewhere", "PLAIN": "1"}) == Settings()


def test_an_unknown_key_is_a_fault_with_a_suggestion(root: Path, env: dict[str, str]) -> None:
    (root / "cortex.toml").write_text("name = 'x'\nredacton = 'off'\n")
    with pytest.raises(FaultsError) as caught:
        load_settings(root, env=env)
    assert "did you mean 'redaction'?" in caught.value.message
    assert f"{root / 'cortex.toml'}:2" in caught.value.message
    assert caught.value.exit_code == 2


def test_all_faults_of_all_sources_are_reported_together(root: Path, env: dict[str, str]) -> None:
    user = write_user(env, "[theme]\ndark = true\n")
    (root / "cortex.toml").write_text("redaction = 'none'\nthreads = -1\nschema = 2\n")
    env["CORTEX_LOCK_WAIT"] = "soon"
    with pytest.raises(FaultsError) as caught:
        load_settings(root, env=env, flags={"color": "red"})
    text = caught.value.message
    assert "has 6 faults" in text
    for part in ("--color", "CORTEX_LOCK_WAIT", "cortex.toml:1", "cortex.toml:2", "cortex.toml:3", f"{user}:1"):
        assert part in text


@pytest.mark.parametrize("data", [b"name = ", b"\xff\xfe", b"name = 'a'\nname = 'b'\n"])
def test_a_file_that_is_not_toml_is_named(root: Path, env: dict[str, str], data: bytes) -> None:
    (root / "cortex.toml").write_bytes(data)
    with pytest.raises(FaultsError, match="cannot be read as TOML"):
        load_settings(root, env=env)


@pytest.mark.parametrize("actor", ["", "a\nb", "a\n", "x" * 101, "tab\there"])
def test_an_actor_that_could_forge_a_trailer_is_refused(root: Path, env: dict[str, str], actor: str) -> None:
    with pytest.raises(FaultsError, match="actor"):
        load_settings(root, env=env, flags={"actor": actor})


def test_the_user_file_follows_xdg() -> None:
    assert user_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/cortex/config.toml")
    assert user_file({"HOME": "/h"}) == Path("/h/.config/cortex/config.toml")
    assert user_file({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == Path("/h/.config/cortex/config.toml")
    assert user_file({}) is None


def test_every_setting_has_a_default() -> None:
    assert not [field.name for field in msgspec.structs.fields(Settings) if field.required]
