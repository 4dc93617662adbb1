"""Policies."""

from pathlib import Path

import pytest

from cortex_cli.domain.errors import FaultsError, UsageError
from cortex_cli.domain.manifests import Policy
from cortex_cli.release.policies import POLICIES, check_policy, load_policy


def test_every_policy_that_ships_makes_sense() -> None:
    for name, policy in POLICIES.items():
        assert check_policy(policy, name).name == name
    assert load_policy("default") == Policy()


def test_a_policy_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\nalpha = 0.01\nguardrails = ["quality", "cost"]\n', encoding="utf-8")

    policy = load_policy(str(path))

    assert (policy.name, policy.alpha, policy.guardrails) == ("own", 0.01, ("quality", "cost"))


def test_all_faults_of_a_file_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("alpha = 0.7\nmde = 0.0\nmin_tasks = 0\nobjectives = []\n", encoding="utf-8")

    with pytest.raises(FaultsError) as error:
        load_policy(str(path))

    assert [fault.where for fault in error.value.faults] == ["alpha", "mde", "min_tasks", "objectives"]


def test_an_unknown_metric_or_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('guardrails = ["speed"]\nalfa = 0.1\n', encoding="utf-8")

    with pytest.raises(FaultsError) as error:
        load_policy(str(path))

    assert "did you mean 'alpha'?" in error.value.message
    assert "guardrails" in error.value.message


def test_an_unknown_policy_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="known: anytime, cautious, default"):
        load_policy("bold")
    with pytest.raises(UsageError, match=r"there is no policy file 'bold\.toml'"):
        load_policy("bold.toml")
