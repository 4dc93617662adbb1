"""The account that a commit carries: a subject in the words of its stage and one paragraph of trailers."""

import re

import msgspec

from cortex_cli import __version__
from cortex_cli.domain.errors import IntegrityError, UsageError

__all__ = ["MOVES", "Trailers", "check_value", "parse_message", "render_message", "scan_message"]

# The actions that change who is champion; no other action may.
MOVES = ("promote", "rollback")

_LONGEST = 256
_ACTION = re.compile(r"[a-z][a-z-]{0,31}")
_NOUNS = {
    "ab": "experiment",
    "agent": "agent",
    "curate": "dataset",
    "evaluate": "adapter",
    "init": "workspace",
    "model": "model",
    "promote": "champion",
    "quarantine": "dataset",
    "release": "dataset",
    "rollback": "champion",
    "train": "adapter",
    "variant": "variant",
}
_KEYS = {
    "Cortex-Action": "action",
    "Cortex-Target": "target",
    "Cortex-From": "from_",
    "Cortex-To": "to",
    "Cortex-Generation": "generation",
    "Cortex-Evidence": "evidence",
    "Cortex-Run-Id": "run_id",
    "Cortex-Reason": "reason",
    "Cortex-Actor": "actor",
    "Cortex-Version": "version",
}
_FIELDS = {key.lower(): name for key, name in _KEYS.items()}


class Trailers(msgspec.Struct, frozen=True):
    """What one commit did: *action* on *target*, *from_* what *to* what, on which *evidence*, for what *reason*.

    *generation* is the agent's after a move; *version* is filled in when it is rendered. Values that
    are empty or None are left out of the message. Raises `UsageError` for a value that is not one
    printable line of at most 256 characters: a newline in a value would forge a second trailer.
    """

    action: str
    target: str
    from_: str = ""
    to: str = ""
    generation: int | None = None
    evidence: str = ""
    run_id: str = ""
    actor: str = ""
    version: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if not _ACTION.fullmatch(self.action):
            raise UsageError(f"action {self.action!r} is not a word of a-z and '-'", state="nothing was changed")
        if not self.target:
            raise UsageError(f"action '{self.action}' needs a target", state="nothing was changed")
        for key, name in _KEYS.items():
            check_value(key, str(getattr(self, name)))

    def subject(self) -> str:
        """Return the first line of the message, such as `promote(dispatch): champion a -> b`."""
        noun = _NOUNS.get(self.action, "")
        change = f"{self.from_ or 'none'} -> {self.to}" if self.from_ or self.action in MOVES else self.to
        words = f"{noun} {change}".strip() or "done"
        return f"{self.action}({self.target}): {words}"


def check_value(key: str, value: str) -> str:
    """Return *value* if it is one printable line that git will give back as it is; raise `UsageError` otherwise."""
    if len(value) > _LONGEST:
        raise UsageError(
            f"{key} has {len(value)} characters, at most {_LONGEST} are allowed", state="nothing was changed"
        )
    # Not printable are control, format (such as right-to-left override) and separator characters but the space.
    if not value.isprintable() or value != value.strip():
        raise UsageError(f"{key} must be one printable line, found {value!r}", state="nothing was changed")
    return value


def render_message(record: Trailers) -> str:
    """Render *record* as a commit message."""
    record = msgspec.structs.replace(record, version=__version__)
    values = ((key, getattr(record, name)) for key, name in _KEYS.items())
    lines = [f"{key}: {value}" for key, value in values if value not in ("", None)]
    return f"{record.subject()}\n\n" + "\n".join(lines) + "\n"


def scan_message(message: str) -> dict[str, str]:
    """Return the trailers of *message* by field name of `Trailers`; empty when it is not a commit of Cortex.

    Only the last paragraph counts, and keys are read as git reads them: in any case, blanks before the
    colon allowed. Raises `IntegrityError` for a key that stands twice, which Cortex never writes.
    """
    found: dict[str, str] = {}
    for line in message.rstrip().rpartition("\n\n")[2].split("\n"):
        key, _, value = line.partition(":")
        # As Cortex writes them first: ten thousand commits are read in a tenth of a second.
        name = _KEYS.get(key) or _FIELDS.get(key.strip().lower())
        if name is None:
            continue
        if name in found:
            raise IntegrityError(f"'{key}' stands twice: {found[name]!r} and {value.strip()!r}", hint="cortex fsck")
        found[name] = value.strip()
    return found if "action" in found else {}


def parse_message(message: str) -> Trailers | None:
    """Read the trailers of *message*; None when it is not a commit of Cortex.

    Raises `IntegrityError` for what Cortex would not have written: a key twice, a value that is not allowed.
    """
    found = scan_message(message)
    if not found:
        return None
    digits = found.pop("generation", "")
    found.setdefault("target", "")
    try:
        return Trailers(generation=int(digits) if digits else None, **found)
    except (UsageError, ValueError) as error:
        raise IntegrityError(f"trailers that Cortex would not write: {error}", hint="cortex fsck") from error
