"""Redaction before the first write: secrets, then personal data by pattern, become typed placeholders.

Names of people, places and organisations and postal addresses are NOT covered: no pattern finds them,
and `NOT_COVERED` goes into every report. A placeholder such as `<EMAIL_hkcmdafbpe>` is derived from the
value under the workspace key: the same value has the same placeholder everywhere in a workspace, and
without the key nothing leads back to it.
"""

import hashlib
import hmac
import re
from collections import Counter
from typing import Any, Literal

import msgspec

from cortex_cli.collect.patterns import HINTS, PERSONAL, SECRET_KEY, SECRETS, STRICT, Rule, find_hints
from cortex_cli.collect.records import Record
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.interactions import Feedback, Interaction, Message

__all__ = ["NOT_COVERED", "Policy", "Redactor"]

Policy = Literal["standard", "strict", "off"]

NOT_COVERED = ("names of people", "names of places and organisations", "postal addresses")

_RULES: dict[str, tuple[Rule, ...]] = {
    "standard": SECRETS + PERSONAL,
    "strict": SECRETS + PERSONAL + STRICT,
    "off": (),
}
# Letters instead of hex digits: a tag must not look like a number to the next rule.
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_SEPARATORS = re.compile(r"[\s().\-/]+")


class Redactor:
    """Masks text and records by *policy* under *key*; `counts` tells how many of each kind were masked.

    Masking what was masked already changes nothing. JSON text stays JSON.
    """

    def __init__(self, key: bytes, policy: Policy = "standard") -> None:
        self.policy = policy
        self.counts: Counter[str] = Counter()
        self._key = key
        self._rules = _RULES[policy]
        self._keywords = {word for rule in self._rules for word in rule.keywords} - HINTS.keys()

    def redact_text(self, text: str) -> str:
        """Return *text* with every secret and every pattern of personal data masked."""
        if text[:1] in {"{", "["} and (masked := self._redact_json(text)) is not None:
            return masked
        return self._redact_plain(text)

    def redact_record(self, record: Record) -> Record:
        """Return *record* with all its free text masked; its id stays, so that importing again finds it."""
        if isinstance(record, Interaction):
            return self.redact_interaction(record)
        return self.redact_feedback(record)

    def redact_feedback(self, record: Feedback) -> Feedback:
        """Return the judgement *record* with comment and demonstration masked."""
        return msgspec.structs.replace(
            record, comment=self.redact_text(record.comment), demonstration=self.redact_text(record.demonstration)
        )

    def redact_interaction(self, record: Interaction) -> Interaction:
        """Return the interaction *record* with messages, output, tools, error, user and meta masked."""
        if self.policy == "off":
            return record
        return msgspec.structs.replace(
            record,
            messages=tuple(self._redact_message(message) for message in record.messages),
            output=self.redact_text(record.output),
            tools=self.redact_text(record.tools),
            error=self.redact_text(record.error),
            user=self._mask("ACCOUNT", record.user) if record.user else "",
            meta={name: self.redact_text(value) for name, value in record.meta.items()},
        )

    def _redact_message(self, message: Message) -> Message:
        return msgspec.structs.replace(
            message, content=self.redact_text(message.content), tool_calls=self.redact_text(message.tool_calls)
        )

    def _redact_plain(self, text: str) -> str:
        # Taken once, before anything is masked: a placeholder only takes keywords away.
        found = find_hints(text, self._keywords)
        for rule in self._rules if found else ():
            if not found.isdisjoint(rule.keywords):
                text = rule.pattern.sub(lambda match, rule=rule: self._replace(match, rule), text)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        return text

    def _redact_json(self, text: str) -> str | None:
        # In JSON a number is masked as a whole value, or the text would no longer be JSON.
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return None
        masked = self._redact_value(value)
        return text if masked == value else canonical_json(masked).decode()

    def _redact_value(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self._redact_plain(key): self._redact_value(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._redact_value(item, name) for item in value]
        if isinstance(value, str):
            return self._redact_named(value, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = str(value)
            masked = self._redact_plain(text)
            return value if masked == text else masked
        return value

    def _redact_named(self, value: str, name: str) -> str:
        secret = self._rules and SECRET_KEY.search(name) and len(value) >= 4 and value[0] not in "$<{%"
        return self._mask("PASSWORD", value) if secret else self.redact_text(value)

    def _replace(self, match: re.Match[str], rule: Rule) -> str:
        group = match.re.groups
        value = match[group]
        length = rule.accept(value)
        if not length:
            return match[0]
        before = match[0][: match.start(group) - match.start()]
        after = match[0][match.end(group) - match.start() :]
        return before + self._mask(rule.kind, value[:length]) + value[length:] + after

    def _mask(self, kind: str, value: str) -> str:
        if value.startswith(f"<{kind}_"):
            return value
        self.counts[kind] += 1
        told = f"{kind}\0{_SEPARATORS.sub('', value).lower()}".encode()
        return f"<{kind}_{hmac.new(self._key, told, hashlib.sha256).hexdigest()[:10].translate(_LETTERS)}>"
