"""How a text is masked: as it is, or as JSON, string by string, so that it stays JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cortex_cli.collect.masking import Leaf, Masked, Masker
from cortex_cli.collect.secrets import SECRET_KEY
from cortex_cli.domain.digests import canonical_json

__all__ = ["JsonPlan", "plan_json", "plan_leaves"]

# Deeper JSON is masked as plain text.
_DEEPEST = 60
# A number of fewer digits tells no telephone, card or account.
_LEAST = 10_000
_JSON = frozenset("{[")


class JsonPlan:
    """A JSON value whose strings and long numbers are masked one by one; a text inside may be JSON again.

    Raises `RecursionError` for a value that is too deep.
    """

    def __init__(self, text: str, value: Any, masker: Masker, name: str = "") -> None:
        self._text = text
        self._value = value
        self._masker = masker
        self._name = name
        self._names: dict[str, str] = {}
        self._inner: dict[Leaf, JsonPlan] = {}
        self._kinds: list[str] = []
        self.leaves = list(self._walk(value, name, 0))

    def finish(self, masks: Mapping[Leaf, Masked]) -> Masked:
        """Return the text with every string as *masks* has it; nothing to mask leaves its spelling alone."""
        self._kinds = []
        masked = self._rebuild(self._value, self._name, masks)
        text = self._text if masked == self._value else canonical_json(masked).decode()
        return Masked(text, tuple(self._kinds))

    def _walk(self, value: Any, name: str, depth: int) -> Iterator[Leaf]:
        if depth > _DEEPEST:
            raise RecursionError
        if isinstance(value, dict):
            for key, item in value.items():
                yield from self._walk(item, self._rename(key), depth + 1)
        elif isinstance(value, list):
            for item in value:
                yield from self._walk(item, name, depth + 1)
        elif (leaf := _leaf(value, name)) is not None:
            inner = plan_json(leaf.text, self._masker, name) if isinstance(value, str) else None
            if inner is not None:
                self._inner[leaf] = inner
            yield from [leaf] if inner is None else inner.leaves

    def _rename(self, key: str) -> str:
        # Names of fields are masked by rule only: a tagger would take `first_name` apart.
        if key not in self._names:
            self._names[key] = self._masker.mask_by_rule(key).text
        return self._names[key]

    def _rebuild(self, value: Any, name: str, masks: Mapping[Leaf, Masked]) -> Any:
        if isinstance(value, dict):
            return {self._rename(key): self._rebuild(item, self._rename(key), masks) for key, item in value.items()}
        if isinstance(value, list):
            return [self._rebuild(item, name, masks) for item in value]
        if isinstance(value, str) and _is_secret(name, value):
            self._kinds.append("PASSWORD")
            return self._masker.tag("PASSWORD", value)
        leaf = _leaf(value, name)
        if leaf is None:
            return value
        found = self._inner[leaf].finish(masks) if leaf in self._inner else masks[leaf]
        self._kinds += found.kinds
        return found.text if found.text != leaf.text else value


def plan_leaves(text: str, masker: Masker) -> list[Leaf]:
    """Return what there is to mask in *text*."""
    plan = plan_json(text, masker)
    return [Leaf(text)] if plan is None else plan.leaves


def plan_json(text: str, masker: Masker, name: str = "") -> JsonPlan | None:
    """Return how *masker* is to mask *text* in the field *name*, or None when it is no JSON."""
    if text[0] not in _JSON:
        return None
    try:
        return JsonPlan(text, msgspec.json.decode(text), masker, name)
    except (msgspec.DecodeError, RecursionError):
        return None


def _leaf(value: Any, name: str) -> Leaf | None:
    if isinstance(value, str):
        return Leaf(value, name) if value and not _is_secret(name, value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) < _LEAST:
        return None
    # In JSON a number is masked as a whole value, or the text would no longer be JSON.
    return Leaf(str(value), name)


def _is_secret(name: str, value: str) -> bool:
    return len(value) >= 4 and value[0] not in "$<{%" and SECRET_KEY.search(name) is not None
