"""Chat models behind an API: any endpoint that speaks OpenAI's chat completions.

The model manifest says where: `openai:gpt-5-mini` names a provider of the table below, `http://127.0.0.1:8080/v1#model`
an address (vLLM, SGLang, llama-server, a gateway), and a model of kind `ollama` its tag. Keys come from environment
variables and are sent to the host that the variable is named after, nowhere else.
"""

import re
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from cortex_cli.domain.errors import AuthenticationError, UsageError
from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Model
from cortex_cli.models.transport import Caller, Limits, Means, Reply

__all__ = ["Asking", "Endpoint", "Upstream", "find_endpoint", "open_upstream"]

# Provider -> base URL, and the variable with the key ('' where none is needed). `<PROVIDER>_BASE_URL` moves it.
_PROVIDERS = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "ollama": ("http://127.0.0.1:11434/v1", ""),
}
# Newer models of OpenAI refuse some parameters of older ones: what they call them, '' where there is no other.
_RENAMED = {"max_tokens": "max_completion_tokens", "temperature": ""}
_UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value"})
_SHOWN = 200  # characters of a server's own words in an error
_LIMITS, _MEANS = Limits(), Means()


class Endpoint(NamedTuple):
    """Where a model answers: *base* URL, the *model* as the server calls it, and the *key* if one is needed."""

    base: str
    model: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked: the longest answer in tokens, and the *temperature* (None: the server's own)."""

    max_tokens: int = 256
    temperature: float | None = None
    limits: Limits = _LIMITS
    means: Means = _MEANS


class _Choice(msgspec.Struct):
    message: dict[str, Any] = {}
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)


def open_upstream(model: Model, env: Mapping[str, str], asking: Asking | None = None) -> "Upstream":
    """Return *model*, of kind `api` or `ollama`, ready to answer; nothing is sent yet.

    Raises `AuthenticationError` when its key is not in *env*, `UsageError` when its source names no endpoint.
    """
    endpoint = find_endpoint(model, env)
    return Upstream(endpoint, asking or Asking())


def find_endpoint(model: Model, env: Mapping[str, str]) -> Endpoint:
    """Return where *model* answers; raises as `open_upstream`."""
    source = f"ollama:{model.source}" if model.kind == "ollama" else model.source
    if source.startswith(("http://", "https://")):
        base, _, name = source.partition("#")
        variable = "CORTEX_KEY_" + re.sub(r"[^A-Z0-9]+", "_", (urlsplit(base).hostname or "").upper())
        return Endpoint(_check_base(model, base, name), name, _read_key(variable, env))
    provider, _, name = source.partition(":")
    if provider not in _PROVIDERS or not name:
        raise UsageError(
            f"model '{model.name}' has the source '{model.source}', which names no endpoint",
            hint=f"give it as PROVIDER:MODEL with one of {', '.join(_PROVIDERS)}, or as http://HOST:PORT/v1#MODEL",
            state="nothing was asked",
        )
    base, variable = _PROVIDERS[provider]
    base = env.get(f"{provider.upper()}_BASE_URL", "") or base
    key = _read_key(variable, env)
    if variable and not key:
        raise AuthenticationError(
            f"model '{model.name}' needs the key of {provider} in {variable}, which is not set",
            hint=f"export {variable}=...",
            state="nothing was asked",
        )
    return Endpoint(_check_base(model, base, name), name, key)


class Upstream:
    """A chat model behind an endpoint; an instance is a `Generate`, and safe for many threads."""

    def __init__(self, endpoint: Endpoint, asking: Asking) -> None:
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self.caller = Caller(endpoint.base, headers, asking.limits, asking.means, secret=endpoint.key)
        self.model = endpoint.model
        self._parameters: dict[str, Any] = {"max_tokens": asking.max_tokens}
        if asking.temperature is not None:
            self._parameters["temperature"] = asking.temperature

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Answer every prompt, several at a time, in the given order."""
        answers: list[Answer | None] = [None] * len(prompts)
        for index, answer in self.stream(prompts):
            answers[index] = answer
        return [answer for answer in answers if answer is not None]

    def stream(self, prompts: Iterable[Prompt]) -> Generator[tuple[int, Answer], None, None]:
        """Yield each prompt's number and its answer as they come.

        A prompt is taken from *prompts* only when it can be sent, so that who gives them may stop at any time. When
        the iteration is left early, what is under way is broken off and this model answers no more.
        """
        waiting: dict[Future[Answer], int] = {}
        source = enumerate(prompts)
        pool = ThreadPoolExecutor(self.caller.limits.together, thread_name_prefix="upstream")
        is_whole = False
        try:
            while True:
                while len(waiting) < self.caller.limits.together and (asked := next(source, None)) is not None:
                    waiting[pool.submit(self.ask, asked[1])] = asked[0]
                if not waiting:
                    break
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for each in done:
                    yield waiting.pop(each), each.result()
            is_whole = True
        finally:
            if not is_whole:
                self.close()
            pool.shutdown(cancel_futures=True)

    def ask(self, prompt: Prompt) -> Answer:
        """Answer one prompt; what goes wrong is in the answer."""
        started = time.monotonic()
        parameters = self._parameters
        reply = self._send(prompt, parameters)
        while reply.status == 400 and (fewer := _drop_unsupported(parameters, reply.body)) is not None:
            parameters = self._parameters = fewer  # learned once for all prompts that follow
            reply = self._send(prompt, parameters)
        answer = _failed(reply) if reply.error else _parse_answer(reply.body)
        error = self.caller.hide(answer.error)
        return msgspec.structs.replace(answer, error=error, seconds=time.monotonic() - started)

    def close(self) -> None:
        """Close all connections; calls that are under way end with an error."""
        self.caller.close()

    def _send(self, prompt: Prompt, parameters: Mapping[str, Any]) -> Reply:
        asked = {"model": self.model, "messages": [_render(message) for message in prompt], **parameters}
        try:
            body = msgspec.json.encode(asked)
        except UnicodeEncodeError:  # half of a surrogate pair, which no JSON can carry
            return Reply(0, error="the prompt holds characters that are not Unicode text")
        return self.caller.post("/chat/completions", body)


def _drop_unsupported(parameters: dict[str, Any], body: bytes) -> dict[str, Any] | None:
    """Return *parameters* without the one that the server says it does not support, renamed where that is known.

    None when it names none that can be spared, so that each refusal makes them fewer and the asking ends.
    """
    error = _find_error(body)
    name = error.get("param")
    if error.get("code") not in _UNSUPPORTED or name not in _RENAMED or name not in parameters:
        return None
    fewer = {key: value for key, value in parameters.items() if key != name}
    return {**fewer, _RENAMED[name]: parameters[name]} if _RENAMED[name] else fewer


def _check_base(model: Model, base: str, name: str) -> str:
    parts = urlsplit(base)
    try:
        is_sound = bool(parts.hostname and name and parts.scheme in {"http", "https"}) and parts.port != 0
    except ValueError:  # a port that is no number
        is_sound = False
    # Whatever is in the address is in git too.
    if not is_sound or parts.username or parts.password or parts.query:
        raise UsageError(
            f"model '{model.name}' has no usable endpoint: expected http://HOST:PORT/PATH#MODEL without user or query",
            hint=f"registry/models/{model.name}.toml says where it answers",
            state="nothing was asked",
        )
    return base


def _read_key(variable: str, env: Mapping[str, str]) -> str:
    key = env.get(variable, "").strip() if variable else ""
    if not key.isascii() or not key.isprintable():
        raise AuthenticationError(f"{variable} holds characters that no key has", state="nothing was asked")
    return key


def _render(message: Message) -> dict[str, Any]:
    value: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        value["tool_call_id"] = message.name
    elif message.name:
        value["name"] = message.name
    if message.tool_calls:
        with suppress(msgspec.DecodeError):  # what is no JSON was never a call
            value["tool_calls"] = msgspec.json.decode(message.tool_calls)
    return value


def _parse_answer(body: bytes) -> Answer:
    try:
        told = _COMPLETION.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _error(f"the answer cannot be read: {error}")
    if told.error or not told.choices:  # some gateways tell of failures with status 200
        return _error(_words(body) or "the answer has no choices")
    choice, usage = told.choices[0], told.usage or {}
    answer = Answer(
        text=_read_text(choice.message),
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
        finish="length" if choice.finish_reason == "length" else "stop",
    )
    refused = choice.message.get("refusal") if not answer.text else None
    if choice.finish_reason == "content_filter":
        refused = "the provider's content filter stopped it"
    if not refused:
        return answer
    return msgspec.structs.replace(answer, text="", finish="error", error=f"refused: {str(refused)[:_SHOWN]}")


def _read_text(message: Mapping[str, Any]) -> str:
    """Return the text of *message*, or its tool calls as JSON when it has no text."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not content and (calls := message.get("tool_calls")):
        return msgspec.json.encode(calls).decode()
    return content if isinstance(content, str) else ""


def _failed(reply: Reply) -> Answer:
    words = _words(reply.body)
    return _error(f"{reply.error}: {words}" if words else reply.error)


def _error(reason: str) -> Answer:
    return Answer(text="", finish="error", error=reason)


def _words(body: bytes) -> str:
    """Return the server's own words for what is wrong, on one line; '' when they are not where they are expected."""
    error = _find_error(body)
    return " ".join(str(error.get("message", "")).split())[:_SHOWN]


def _find_error(body: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(body, type=dict[str, Any]).get("error")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {"message": told} if isinstance(told, str) else {}


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
