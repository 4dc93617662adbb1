"""What in a text does not belong there: characters nobody sees, orders to a model in an answer; and what was masked."""

import re
from collections import Counter

__all__ = ["count_placeholders", "find_hidden", "find_orders"]

# Characters without a glyph, or that turn the order of others: they carry text past a reader's eyes.
# Joiners are ordinary between letters of many scripts and inside emoji, so they count between ASCII only.
_HIDDEN = {
    "bidirectional": re.compile("[\u202a-\u202e\u2066-\u2069]"),
    "tag": re.compile("[\U000e0000-\U000e007f]"),
    "variation": re.compile("[\U000e0100-\U000e01ef]"),
    "zero-width": re.compile("[\u200b\u2060-\u2064\u180e]|(?<=[!-~])[\u200c\u200d\ufeff](?=[!-~])"),
}
_ANY_HIDDEN = re.compile("[\u180e\u200b-\u200d\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e01ef]")

# In the style of published injections; an answer has no reason to speak to the model that will read it.
_ORDERS = {
    "chat-markup": re.compile(r"<\|(?:im_start|im_end|system|user|assistant|endoftext)\|>|\[/?INST\]|<</?SYS>>"),
    "forget-instructions": re.compile(
        r"\b(?:ignore|disregard|forget|override|bypass)\s+(?:(?:all|any|the|your|of|these|my)\s+){0,3}"
        r"(?:previous|prior|above|earlier|preceding|former|system)\s+(?:instruction|prompt|rule|message|direction)s?",
        re.IGNORECASE,
    ),
    "hide-from-user": re.compile(
        r"\b(?:do not|don't|never)\s+(?:tell|inform|mention|reveal|show)\b.{0,20}\b(?:user|human|operator)\b",
        re.IGNORECASE,
    ),
    "new-role": re.compile(
        r"\b(?:you are now|from now on,? you(?: are| will| must)|act as (?:dan|root)\b)", re.IGNORECASE
    ),
}
_PLACEHOLDER = re.compile(r"<([A-Z][A-Z_]*[A-Z])_(?:[0-9]+|[a-p]{10})>")


def find_hidden(text: str) -> list[str]:
    """Return the kinds of hidden characters in *text*: bidirectional, tag, variation, zero-width."""
    if text.isascii() or not _ANY_HIDDEN.search(text):
        return []
    return [kind for kind, pattern in _HIDDEN.items() if pattern.search(text)]


def find_orders(text: str) -> list[str]:
    """Return the kinds of orders to a model in *text*: chat-markup, forget-instructions, hide-from-user, new-role."""
    return [kind for kind, pattern in _ORDERS.items() if pattern.search(text)]


def count_placeholders(text: str) -> Counter[str]:
    """Count what was masked in *text* by kind, such as PERSON."""
    return Counter(_PLACEHOLDER.findall(text)) if "<" in text else Counter()
