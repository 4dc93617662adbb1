"""Normal forms: when two prompts count as the same, and what of a text is compared."""

import hashlib
import re
import string
import unicodedata

from cortex_cli.domain.examples import Prompt
from cortex_cli.domain.interactions import Message

__all__ = [
    "ALGORITHMS",
    "SHORT",
    "exact_key",
    "fold_answer",
    "fold_prompt",
    "hash64",
    "last_turn",
    "normalise",
    "salted",
]

# Changing what a step returns means a new number here: versions of a dataset say by which they were made.
ALGORITHMS = {
    "balance": "cap/1",
    "contamination": "exact-contained-ngram/1",
    "duplicates": "dedup/v1",
    "exact": "exact/1",
    "pairs": "same-prompt/1",
    "prefixes": "prefix/1",
    "quality": "limits/1",
    "sketch": "oph-128-16x8/1",
    "split": "salted-sha256-clusters/1",
    "verdict": "last-of-each-judge/1",
}
# Tokens below which a text is compared by its characters, and an answer must be equal.
SHORT = 20

_WORD = re.compile(r"\w+")
_WORDS = (string.ascii_letters + string.digits + "_").encode()
# The bytes of ASCII: letters in lower case, digits and '_' as they are, all else a space.
_ASCII = bytes(ord(chr(code).lower()) if code in _WORDS else 32 for code in range(256))


def fold_prompt(prompt: Prompt) -> str:
    """Return *prompt* in NFKC, lower case, single spaces.

    System messages are left out: the same request under another instruction is still the same request, and
    must not stand on both sides of the split.
    """
    return "\n".join([_fold_message(message) for message in prompt if message.role != "system"])


def fold_answer(answer: str) -> str:
    """Return *answer* in NFKC with single spaces; case is kept, as `ls -S` is another command than `ls -s`."""
    return _fold(answer)


def normalise(text: str) -> str:
    r"""Return the tokens of *text*: NFKC, lower case, every run of `\W` one space."""
    if text.isascii():
        return b" ".join(text.encode().translate(_ASCII).split()).decode()
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).lower()))


def last_turn(prompt: Prompt) -> tuple[str, str]:
    """Return the last user message of *prompt*, and all but it and the system messages, folded."""
    number = next((at for at in range(len(prompt) - 1, -1, -1) if prompt[at].role == "user"), -1)
    others = [_fold_message(each) for at, each in enumerate(prompt) if at != number and each.role != "system"]
    return prompt[number].content if number >= 0 else "", "\n".join(others)


def exact_key(prompt: str, answer: str) -> bytes:
    """Return the key under which a folded prompt and a folded answer are duplicates of others."""
    return hashlib.sha256(f"{prompt}\0{answer}".encode()).digest()[:16]


def hash64(text: str) -> int:
    """Return 64 bits of *text*: of a million texts, two share them with probability 3e-8."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def salted(salt: str, text: str) -> int:
    """Return 64 bits of *text* under *salt*: its place in the split, always the same on any machine."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{text}".encode()).digest()[:8])


def _fold_message(message: Message) -> str:
    folded = f"{message.role} {_fold(message.content).lower()}"
    return f"{folded} {message.tool_calls}" if message.tool_calls else folded


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
