import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.names import check_name, check_relative_path, check_variant_id, check_version


@pytest.mark.parametrize("name", ["a", "dispatch", "cortex-tiny", "a_b-c9", "x" * 64])
def test_plain_names_are_allowed(name: str) -> None:
    assert check_name("agent", name) == name


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "A", "-a", "a-", "a b", "a\n", "x" * 65, ".git", "ä", "a.lock", "a:b", "@{u}"]
)
def test_names_that_could_leave_their_folder_or_break_a_ref_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not allowed"):
        check_name("agent", name)


@given(st.text(max_size=80))
def test_an_allowed_name_is_always_safe_in_a_path(text: str) -> None:
    try:
        name = check_name("agent", text)
    except UsageError:
        return
    assert name.isascii()
    assert not set(name) & set("/\\.\n\0 :")


@pytest.mark.parametrize("path", ["prompts/dispatch/main.md", "a", "a/b.c/d_e-f"])
def test_plain_relative_paths_are_allowed(path: str) -> None:
    assert check_relative_path(path) == path


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", ".git/config", "a/.b", "a\\b", "a\n"])
def test_paths_that_could_leave_the_workspace_are_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is not allowed"):
        check_relative_path(path)


@pytest.mark.parametrize("version", ["v0001", "v12345"])
def test_versions_have_one_form(version: str) -> None:
    assert check_version(version) == version


@pytest.mark.parametrize("version", ["1", "v1", "v00x1", "latest", "v0001/..", ""])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(UsageError, match="use the form v0001"):
        check_version(version)


def test_an_id_is_a_name_and_twelve_hex_digits() -> None:
    assert check_variant_id("dispatch-0123456789ab")
    for wrong in ("dispatch", "dispatch-0123456789a", "dispatch-0123456789AB", "../x-0123456789ab"):
        with pytest.raises(UsageError, match="is not allowed"):
            check_variant_id(wrong)
