"""Who answers for what numbers alone must not decide: the name that git knows."""

from cortex_cli.domain.errors import UsageError
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.git import CORTEX

__all__ = ["name_person"]


def name_person(place: Place) -> str:
    """Return the name under which git commits here; raise `UsageError` when nobody has set one."""
    name = place.registry.git.identity().name
    if name == CORTEX.name:
        raise UsageError(
            "an override needs a name, and git knows none here",
            hint='git config user.name "YOUR NAME", or add --by',
            state="nothing was evaluated",
        )
    return name
