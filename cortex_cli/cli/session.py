"""What holds for one run of the program: environment, and the options that every verb takes."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

__all__ = ["Session", "begin_session", "session"]


@dataclass(slots=True)
class Session:
    """Environment and common options of one run; the option parser fills it before the verb runs."""

    environ: Mapping[str, str] = field(default_factory=dict)
    workspace: str = ""
    plain: bool = False
    quiet: bool = False
    debug: bool = False


_CURRENT: ContextVar[Session] = ContextVar("cortex_session")


def begin_session(environ: Mapping[str, str]) -> Session:
    """Start a fresh session on *environ*, so that nothing of an earlier run in this process is left."""
    fresh = Session(environ=environ, debug=_is_on(environ, "CORTEX_DEBUG"))
    _CURRENT.set(fresh)
    return fresh


def session() -> Session:
    """Return the session of this run; outside a run, an empty one."""
    return _CURRENT.get(None) or Session()


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "") not in ("", "0")
