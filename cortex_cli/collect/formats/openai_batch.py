"""OpenAI Batch: input lines hold the prompts, output lines the answers, and `custom_id` says which belong together.

Both files are needed: give them together, as a folder, or one behind the other on standard input.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.formats.openai_chat import parse_pair
from cortex_cli.collect.formats.openai_responses import parse_response
from cortex_cli.collect.records import (
    BadRecordError,
    Format,
    Place,
    Quarantined,
    Record,
    Skipped,
    identify,
    typed,
)
from cortex_cli.domain.interactions import Interaction

__all__ = ["FORMAT"]

_INFERENCE = ("/chat/completions", "/responses", "/completions")


def _recognises(value: dict[str, Any]) -> bool:
    if "custom_id" not in value:
        return False
    return {"url", "body"} <= value.keys() or {"response", "error"} <= value.keys()


class _Held(NamedTuple):
    value: dict[str, Any]
    place: Place


class _Batch:
    """One reading of inputs and outputs, which may come in any order and from several files."""

    def __init__(self) -> None:
        self._requests: dict[str, list[_Held]] = {}
        self._outputs: dict[str, list[_Held]] = {}

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record | Skipped]:
        name = typed(value.get("custom_id"), str, "custom_id")
        if not name:
            raise BadRecordError("no_custom_id", "a line of a batch without a custom_id")
        if "body" in value:
            _check_body(value)
            if not _find_url(value).endswith(_INFERENCE):
                return [Skipped("not_inference")]
            self._requests.setdefault(name, []).append(_Held(value, place))
        elif _is_list(value):
            return [Skipped("not_inference")]
        else:
            _check_output(value)
            self._outputs.setdefault(name, []).append(_Held(value, place))
        return ()

    def finish(self) -> Iterator[Record | Quarantined]:
        for name, outputs in self._outputs.items():
            for output in outputs:
                yield from self._join(name, output)
        for name, requests in self._requests.items():
            if name not in self._outputs:
                for held in requests:
                    yield Quarantined("no_answer", f"the output of {name!r} is not here", held.place.origin)

    def _join(self, name: str, output: _Held) -> Iterator[Record | Quarantined]:
        origin = output.place.origin
        try:
            request = self._find_request(name, output)
            # A list: of a bad answer nothing is given, not its first choices.
            yield from list(_parse(request.value, output.value, output.place))
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail, origin)

    def _find_request(self, name: str, output: _Held) -> _Held:
        found = self._requests.get(name, [])
        beside = [held for held in found if held.place.origin.digest == output.place.origin.digest]
        chosen = beside or found
        if not chosen:
            raise BadRecordError(
                "prompt_missing", f"the input of {name!r} is not here: give the batch's input file too"
            )
        if any(held.value["body"] != chosen[0].value["body"] for held in chosen):
            raise BadRecordError("ambiguous_id", f"{len(chosen)} inputs are called {name!r}: give one batch at a time")
        return chosen[0]


def _check_body(value: dict[str, Any]) -> None:
    if not isinstance(value["body"], dict):
        raise BadRecordError("wrong_type", "the body of a request is no object")


def _check_output(value: dict[str, Any]) -> None:
    if not (value.get("response") or value.get("error")):
        raise BadRecordError("no_answer", "an output line with neither a response nor an error")
    typed(value.get("response"), dict[str, Any], "response")


def _is_list(value: dict[str, Any]) -> bool:
    # What embeddings answer with.
    body = value["response"].get("body") if isinstance(value.get("response"), dict) else None
    return isinstance(body, dict) and body.get("object") == "list"


def _find_url(value: dict[str, Any]) -> str:
    return (typed(value.get("url"), str, "url") or "").split("?")[0]


def _parse(request: dict[str, Any], output: dict[str, Any], place: Place) -> Iterator[Interaction]:
    response = output.get("response") or {}
    body = typed(response.get("body"), dict[str, Any], "body") or {}
    pair = {"request": request["body"], "response": body, "error": output.get("error") or _find_error(response, body)}
    url = _find_url(request)
    if url.endswith("/responses"):
        found = [parse_response(pair, place)]
    elif url.endswith("/chat/completions"):
        found = list(parse_pair(pair, place))
    else:
        found = list(parse_pair({**pair, "request": _chat_of(request["body"])}, place))
    for number, record in enumerate(found):
        yield _name(record, number, (output.get("id"), output["custom_id"]))


def _find_error(response: dict[str, Any], body: dict[str, Any]) -> Any:
    if body.get("error"):
        return body["error"]
    code = typed(response.get("status_code"), int, "status_code") or 0
    # 400 and above are refusals in HTTP.
    return f"status {code}" if code >= 400 else None


def _chat_of(body: dict[str, Any]) -> dict[str, Any]:
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise BadRecordError("unsupported_content", "the prompt of a completion is no text")
    return {**body, "messages": [{"role": "user", "content": prompt}]}


def _name(record: Interaction, number: int, names: tuple[Any, ...]) -> Interaction:
    told = join_names(*record.aliases, *(f"{name}#{number}" if number else name for name in names if name))
    return identify(msgspec.structs.replace(record, aliases=told))


FORMAT = Format(
    "openai-batch",
    "OpenAI Batch input and output files",
    _recognises,
    _Batch,
    joins=True,
    together=True,
)
