"""Conversations that are the beginning of longer ones: each call of a session repeats all that was said before.

Without this step, successive calls of one conversation would be taken for near-duplicates of each other.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex_cli.curate.columns import PAIR
from cortex_cli.domain.examples import Example, Prompt
from cortex_cli.domain.interactions import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["find_longer", "hash_prefixes", "hash_talk"]


def hash_talk(example: Example) -> int:
    """Return 64 bits of the whole conversation of *example*: its messages, system ones too, and its answer."""
    text = "" if example.answer == example.calls else example.answer
    return _digest(_update(_begin(example.messages), Message("assistant", text, tool_calls=example.calls)))


def hash_prefixes(prompts: Sequence[Prompt]) -> tuple["NDArray[np.int64]", "NDArray[np.uint64]"]:
    """Return number of the prompt and hash of every beginning that ends with an answer, as `hash_talk` gives it."""
    owners: list[int] = []
    hashes: list[int] = []
    for number, prompt in enumerate(prompts):
        hasher = hashlib.blake2b(digest_size=8)
        for message in prompt if any(message.role == "assistant" for message in prompt) else ():
            _update(hasher, message)
            if message.role == "assistant":
                owners.append(number)
                hashes.append(_digest(hasher))
    return np.array(owners, np.int64), np.array(hashes, np.uint64)


def find_longer(
    examples: "Mapping[str, NDArray[Any]]", prefixes: "Mapping[str, NDArray[Any]]", rows: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """Return pairs of rows, shorter and longer, among *rows*, which are in the order of preference.

    A pair of answers is never given up for a longer conversation: it would lose the wrong one.
    """
    chosen = np.zeros(len(examples["talk"]), np.bool_)
    chosen[rows] = True
    longer = prefixes["row"][chosen[prefixes["row"]]]
    begins = prefixes["talk"][chosen[prefixes["row"]]]
    shorter = rows[(examples["flags"][rows] & PAIR) == 0]
    shorter = shorter[np.argsort(examples["talk"][shorter], kind="stable")]
    talks = examples["talk"][shorter]
    low, high = np.searchsorted(talks, begins, "left"), np.searchsorted(talks, begins, "right")
    # One line for every shorter row of every beginning: equal conversations may stand there more than once.
    counts = high - low
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    found = shorter[np.repeat(low, counts) + offsets]
    return np.stack([found, np.repeat(longer, counts)], axis=1)


def _begin(prompt: Prompt) -> "hashlib.blake2b":
    hasher = hashlib.blake2b(digest_size=8)
    for message in prompt:
        _update(hasher, message)
    return hasher


def _update(hasher: "hashlib.blake2b", message: Message) -> "hashlib.blake2b":
    # Producers differ in whether they keep the white space around an answer that they send back.
    hasher.update(f"{message.role}\0{message.content.strip()}\0{message.tool_calls}\1".encode())
    return hasher


def _digest(hasher: "hashlib.blake2b") -> int:
    return int.from_bytes(hasher.digest())
