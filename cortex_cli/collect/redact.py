"""Redaction before the first write: secrets, then personal data, become typed placeholders.

Rules find what has a form (`secrets`, `personal`); a small tagger finds names, places, organisations,
addresses, dates and ages. A placeholder such as `<PERSON_hkcmdafbpe>` is derived from the value under the
workspace key: the same value has the same placeholder everywhere in a workspace, and without the key nothing leads
back to it. `docs/privacy.md` says what is missed.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from cortex_cli.collect.masking import Leaf, Masked, Masker, Policy
from cortex_cli.collect.plans import plan_json, plan_leaves
from cortex_cli.collect.records import Record
from cortex_cli.domain.interactions import Feedback, Interaction, Message
from cortex_cli.store.starter import starter_root

__all__ = ["NOT_COVERED", "NUMBER", "Policy", "Redactor", "current_stamp", "default_names"]

# Grows whenever a rule or the shipped weights change: records say by which rules they were masked.
NUMBER = 3
NOT_COVERED = (
    "some names: no tagger finds all (docs/privacy.md has the figures)",
    "names in languages that write without spaces",
    "who somebody is by what is told about them",
)
# Characters of texts that are remembered masked: system prompts and earlier turns come again and again.
_REMEMBERED = 16_000_000


def current_stamp(policy: Policy) -> str:
    """Return what records masked by *policy* today carry in `redaction`, such as `standard/3`."""
    return "off" if policy == "off" else f"{policy}/{NUMBER}"


def default_names() -> Path:
    """Return the file with the weights that find names, as shipped."""
    return starter_root() / "registry" / "models" / "cortex-names" / "model.safetensors"


class Redactor:
    """Masks text and records by *policy* under *key*; `counts` tells how many of each kind were masked.

    *names* is the file with the tagger's weights, the shipped one by default; when it is missing, masking raises
    `UsageError`. Masking what was masked already changes nothing. JSON text stays JSON.
    """

    def __init__(self, key: bytes, policy: Policy = "standard", names: Path | None = None) -> None:
        self.policy = policy
        self.counts: Counter[str] = Counter()
        self.stamp = current_stamp(policy)
        if names is not None and policy != "off" and names.is_file():
            self.stamp += f"+{hashlib.sha256(names.read_bytes()).hexdigest()[:8]}"
        self._masker = Masker(key, policy, names or default_names())
        self._known: dict[str, Masked] = {}
        self._size = 0

    def redact_text(self, text: str) -> str:
        """Return *text* with every secret and all personal data masked that is found."""
        return self._take(text, self._redact_texts([text]))

    def redact_texts(self, texts: Sequence[str]) -> list[str]:
        """Return *texts* masked, in order: many at once take a fraction of the time of one by one."""
        masked = self._redact_texts(texts)
        return [self._take(text, masked) for text in texts]

    def redact_record(self, record: Record) -> Record:
        """Return *record* with all its free text masked; its id stays, so that importing again finds it."""
        return self.redact_batch([record])[0]

    def redact_batch(self, records: Sequence[Record]) -> list[Record]:
        """Return *records* masked, in order: many at once take a fraction of the time of one by one."""
        masked = self._redact_texts(text for record in records for text in _texts(record))
        return [
            self._redact_interaction(record, masked)
            if isinstance(record, Interaction)
            else self._redact_feedback(record, masked)
            for record in records
        ]

    def redact_feedback(self, record: Feedback) -> Feedback:
        """Return the judgement *record* with comment and demonstration masked."""
        return self._redact_feedback(record, self._redact_texts(_texts(record)))

    def residue(self, record: Record) -> list[str]:
        """Return the kinds that rules still find in *record*: none in a record that was masked by this policy."""
        leaves = (leaf for text in _texts(record) if text for leaf in plan_leaves(text, self._masker))
        return sorted({kind for leaf in leaves for kind in self._masker.residue(leaf)})

    def _redact_interaction(self, record: Interaction, masked: dict[str, Masked]) -> Interaction:
        take = self._take
        return msgspec.structs.replace(
            record,
            messages=tuple(self._redact_message(message, masked) for message in record.messages),
            output=take(record.output, masked),
            calls=take(record.calls, masked),
            tools=take(record.tools, masked),
            error=take(record.error, masked),
            user=self._account(record.user),
            meta={name: take(value, masked) for name, value in record.meta.items()},
            redaction=self._stamped(record),
        )

    def _redact_message(self, message: Message, masked: dict[str, Masked]) -> Message:
        content, calls = self._take(message.content, masked), self._take(message.tool_calls, masked)
        name = self._account(message.name) if message.role == "user" else message.name
        if content is message.content and calls is message.tool_calls and name is message.name:
            return message
        return msgspec.structs.replace(message, content=content, tool_calls=calls, name=name)

    def _redact_feedback(self, record: Feedback, masked: dict[str, Masked]) -> Feedback:
        return msgspec.structs.replace(
            record,
            comment=self._take(record.comment, masked),
            demonstration=self._take(record.demonstration, masked),
            redaction=self._stamped(record),
        )

    def _account(self, name: str) -> str:
        if not name or self.policy == "off" or (name.startswith("<ACCOUNT_") and name.endswith(">")):
            return name
        self.counts["ACCOUNT"] += 1
        return self._masker.tag("ACCOUNT", name)

    def _stamped(self, record: Record) -> str:
        # What was masked before it came here stays so, also where this policy masks nothing.
        return record.redaction or self.stamp if self.policy == "off" else self.stamp

    def _take(self, text: str, masked: dict[str, Masked]) -> str:
        found = masked.get(text) if text else None
        if found is None or not found.kinds:
            return found.text if found else text
        for kind in found.kinds:
            self.counts[kind] += 1
        return found.text

    def _redact_texts(self, texts: Iterable[str]) -> dict[str, Masked]:
        """Return every distinct one of *texts* masked; what was masked before is remembered."""
        wanted = dict.fromkeys(text for text in texts if text)
        if self.policy == "off":
            return {}
        masked: dict[str, Masked] = {text: self._known[text] for text in wanted if text in self._known}
        fresh = [text for text in wanted if text not in masked]
        plans = {text: plan for text in fresh if (plan := plan_json(text, self._masker)) is not None}
        plain = {text: Leaf(text) for text in fresh if text not in plans}
        leaves = list(dict.fromkeys([*plain.values(), *(leaf for plan in plans.values() for leaf in plan.leaves)]))
        masks = dict(zip(leaves, self._masker.mask(leaves), strict=True))
        found = {text: masks[leaf] for text, leaf in plain.items()}
        found |= {text: plan.finish(masks) for text, plan in plans.items()}
        self._remember(found)
        return masked | found

    def _remember(self, fresh: dict[str, Masked]) -> None:
        self._size += sum(map(len, fresh))
        self._known.update(fresh)
        while self._size > _REMEMBERED:
            oldest = next(iter(self._known))
            self._size -= len(oldest)
            del self._known[oldest]


def _texts(record: Record) -> Iterator[str]:
    """Yield every free text of *record*."""
    if isinstance(record, Feedback):
        yield from (record.comment, record.demonstration)
        return
    for message in record.messages:
        yield from (message.content, message.tool_calls)
    yield from (record.output, record.calls, record.tools, record.error, *record.meta.values())
