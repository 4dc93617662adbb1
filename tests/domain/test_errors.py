import pytest

from cortex_cli.domain import errors
from cortex_cli.domain.errors import CortexError, Fault, FaultsError, MissingExtraError, NotBuiltError

CODES = {
    "UsageError": 2,
    "GateRefusedError": 3,
    "AuthenticationError": 4,
    "NoWorkspaceError": 10,
    "LockedError": 11,
    "ConflictError": 12,
    "IntegrityError": 13,
    "RemoteError": 14,
}


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_every_kind_of_failure_has_the_exit_code_of_the_manual(name: str, code: int) -> None:
    kind: type[CortexError] = getattr(errors, name)

    assert kind.exit_code == code
    assert kind("x").message == "x"


def test_error_codes_are_distinct() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CortexError)]
    codes = [kind.code for kind in kinds if kind is not FaultsError]

    assert len(codes) == len(set(codes))


def test_faults_of_a_file_are_told_together() -> None:
    error = FaultsError("cortex.toml", [Fault("a", "is missing"), Fault("", "not TOML")])

    assert str(error) == "'cortex.toml' has 2 faults:\n  a: is missing\n  not TOML"
    assert error.exit_code == 2


def test_equal_faults_are_equal_values() -> None:
    assert {Fault("a", "b"), Fault("a", "b")} == {Fault("a", "b")}
    assert repr(Fault("a", "b")) == "Fault('a', 'b')"


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    assert MissingExtraError("training", "train").hint == "pip install 'cortex-cli[train]'"


def test_a_verb_to_come_says_so() -> None:
    assert NotBuiltError("serve").message == "'serve' is not built yet"
    assert NotBuiltError("serve").exit_code == 1
