"""Asking a provider on the loopback, once or often, with pauses that are noted instead of made."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Model
from cortex_cli.models.transport import Limits, Means
from cortex_cli.models.upstream import Asking, Upstream, open_upstream
from tests.models.provider import Provider, Turn, said, serving

KEY = "sk-test-0123456789abcdef"
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
FAST = Limits(seconds=5.0, connect=2.0, tries=4, together=4)


def api(source: str, kind: Any = "api") -> Model:
    return Model(name="teacher", kind=kind, source=source)


def asked(text: str) -> Prompt:
    return (Message("user", text),)


def upstream(provider: Provider, limits: Limits = FAST, pauses: list[float] | None = None, **asking: Any) -> Upstream:
    waited: Callable[[float], object] = (pauses if pauses is not None else []).append
    means = Means(now=lambda: NOON, chance=lambda: 0.0, wait=waited)
    model = api(f"{provider.url}#m")
    env = {"CORTEX_KEY_127_0_0_1": KEY}
    return open_upstream(model, env, Asking(limits=limits, means=means, **asking))


def once(turns: list[Turn], limits: Limits = FAST) -> tuple[Answer, list[float], Provider]:
    """Ask once a server that answers with *turns* one after the other; return the answer and the pauses made."""
    pauses: list[float] = []
    with serving(lambda _request, number: turns[min(number, len(turns) - 1)]) as provider:
        model = upstream(provider, limits, pauses)
        answer = model.ask(asked("hello"))
        model.close()
    return answer, pauses, provider


def echo(request: dict[str, Any], _number: int) -> Turn:
    return said("to " + request["messages"][-1]["content"])
