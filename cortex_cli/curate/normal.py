"""Normal forms: when two prompts count as the same, and on which side of the split a prompt falls."""

import hashlib
import unicodedata

from cortex_cli.curate.spec import Split
from cortex_cli.domain.examples import Prompt

__all__ = ["ALGORITHMS", "exact_key", "fold_answer", "fold_prompt", "pick_part"]

# Changing what a function here returns means a new number here: versions of a dataset say by which they were made.
ALGORITHMS = {"duplicates": "exact/1", "split": "salted-sha256/1", "verdict": "unanimous/1"}


def fold_prompt(prompt: Prompt) -> str:
    """Return *prompt* in NFKC, lower case, single spaces.

    System messages are left out: the same request under another instruction is still the same request, and
    must not stand on both sides of the split.
    """
    return "\n".join(
        f"{message.role} {_fold(message.content).lower()}" for message in prompt if message.role != "system"
    )


def fold_answer(answer: str) -> str:
    """Return *answer* in NFKC with single spaces; case is kept, as `ls -S` is another command than `ls -s`."""
    return _fold(answer)


def exact_key(prompt: str, answer: str) -> bytes:
    """Return the key under which a folded prompt and a folded answer are duplicates of others."""
    return hashlib.sha256(f"{prompt}\0{answer}".encode()).digest()[:16]


def pick_part(salt: str, prompt: str, split: Split) -> str:
    """Return the part that the folded *prompt* falls into: always the same for one salt, on any machine."""
    fraction = int.from_bytes(hashlib.sha256(f"{salt}\0{prompt}".encode()).digest()[:8]) / 2**64
    if fraction < split.train:
        return "train"
    # Without a test part the rounding of the shares must not open one.
    return "valid" if fraction < split.train + split.valid or not split.test else "test"


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
