"""Policies by name, and from files: how sure a decision must be, and of what."""

from pathlib import Path

from cortex_cli.domain.errors import Fault, FaultsError, UsageError
from cortex_cli.domain.manifests import Policy
from cortex_cli.domain.tables import parse_toml

__all__ = ["POLICIES", "check_policy", "load_policy"]

POLICIES = {
    "anytime": Policy(),
    "cautious": Policy(name="cautious", alpha=0.01, margin=0.01, min_tasks=200),
}
# What an experiment that names no policy gets is called by both names.
_DEFAULT = "default"


def load_policy(name: str) -> Policy:
    """Return the policy called *name*, or the one in the TOML file *name*; raise for unknown or wrong ones."""
    if name.endswith(".toml"):
        return _read_policy(Path(name))
    if name == _DEFAULT:
        return POLICIES["anytime"]
    if name not in POLICIES:
        known = ", ".join(sorted((*POLICIES, _DEFAULT)))
        raise UsageError(
            f"there is no policy '{name}'; known: {known}, or a file that ends with .toml",
            hint="cortex ab replay --help",
            state="nothing was changed",
        )
    return POLICIES[name]


def check_policy(policy: Policy, source: str) -> Policy:
    """Return *policy* if its numbers make sense; raise `FaultsError` naming *source* and every fault."""
    checks = {
        "alpha": (0.0 < policy.alpha < 0.5, policy.alpha, "an error rate between 0 and 0.5"),
        "mde": (0.0 < policy.mde < 1.0, policy.mde, "an effect between 0 and 1"),
        "margin": (0.0 < policy.margin < 1.0, policy.margin, "a margin between 0 and 1"),
        "min_tasks": (policy.min_tasks >= 1, policy.min_tasks, "at least 1 task"),
        "objectives": (bool(policy.objectives), list(policy.objectives), "at least one metric"),
        "latency_cap": (policy.latency_cap > 0, policy.latency_cap, "seconds above 0"),
        "cost_cap": (policy.cost_cap > 0, policy.cost_cap, "dollars above 0"),
    }
    faults = [
        Fault(name, f"must be {wanted}, found {value!r}") for name, (fine, value, wanted) in checks.items() if not fine
    ]
    if faults:
        raise FaultsError(source, faults)
    return policy


def _read_policy(path: Path) -> Policy:
    if not path.is_file():
        raise UsageError(f"there is no policy file '{path}'", hint="cortex ab replay --help")
    text = path.read_text(encoding="utf-8", errors="replace")
    return check_policy(parse_toml(text, Policy, source=str(path)), str(path))
