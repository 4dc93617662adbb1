"""What a dataset looks like in counts alone: the figures that drift and data cards are made of, without any text."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from cortex_cli.curate.languages import detect_language
from cortex_cli.domain.examples import Example

__all__ = [
    "DIMENSIONS",
    "NONE",
    "OTHER",
    "Profile",
    "Profiler",
    "count_tokens",
    "label_length",
    "label_text",
    "last_request",
    "make_profiler",
    "profile_examples",
]

NONE = "none"
OTHER = "other"
# A manifest keeps this many labels of a dimension; a producer may put anything into a domain, also a name per record.
_MOST_LABELS = 64
# While counting, labels beyond this many go to "other", so that memory does not grow with the data.
_MOST_COUNTED = 10_000
_LONGEST_LABEL = 64


class Profile(msgspec.Struct, frozen=True):
    """Examples, and for every dimension how many of them have which label; no text of a user's.

    Lengths are labelled by powers of two of whitespace-separated words: `8` holds 8 to 15. A quality is labelled by
    its tenth: `0.7` holds 0.7 and all below 0.8.
    """

    examples: int = 0
    counts: dict[str, dict[str, int]] = {}


class Profiler:
    """A profile in the making, one example at a time; about 20 µs and no memory per example."""

    def __init__(self) -> None:
        self._examples = 0
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in DIMENSIONS}

    def add(self, example: Example) -> None:
        """Count one example."""
        self._examples += 1
        for name, label_of in DIMENSIONS.items():
            counts = self._counts[name]
            label = label_of(example)
            counts[label if label in counts or len(counts) < _MOST_COUNTED else OTHER] += 1

    def join(self, other: "Profiler") -> None:
        """Count what *other* has counted too, as when parts of a dataset were counted in several processes."""
        self._examples += other._examples  # noqa: SLF001 - of the same class
        for name, counts in self._counts.items():
            for label, count in other._counts[name].items():  # noqa: SLF001 - of the same class
                counts[label if label in counts or len(counts) < _MOST_COUNTED else OTHER] += count

    def profile(self) -> Profile:
        """Return what was counted so far: of every dimension the most frequent labels, the rest as `other`."""
        return Profile(self._examples, {name: _keep_frequent(counts) for name, counts in self._counts.items()})


def profile_examples(examples: Iterable[Example]) -> Profile:
    """Count *examples* in one pass."""
    profiler = Profiler()
    for example in examples:
        profiler.add(example)
    return profiler.profile()


def make_profiler() -> Callable[[Sequence[bytes]], Profiler]:
    """Return the function that counts examples given as lines of JSON, for a worker process; pairs count once."""
    decoder = msgspec.json.Decoder(Example)

    def count(lines: Sequence[bytes]) -> Profiler:
        profiler = Profiler()
        for line in lines:
            example = decoder.decode(line)
            # A pair repeats an example beside another wrong answer.
            if example.source != "pair":
                profiler.add(example)
        return profiler

    return count


def count_tokens(text: str) -> int:
    """Return the number of whitespace-separated words of *text*: a length that needs no tokenizer."""
    return len(text.split())


def last_request(example: Example) -> str:
    """Return what the user asked last in *example*."""
    return next((message.content for message in reversed(example.messages) if message.role == "user"), "")


def label_text(text: str) -> str:
    """Return *text* if it may stand in a manifest, one printable line of at most 64 characters; else `other`, `none`."""
    return text if 0 < len(text) <= _LONGEST_LABEL and text.isprintable() else OTHER if text else NONE


def label_length(tokens: int) -> str:
    """Return the largest power of two that is not above *tokens*, which is the label of all lengths up to the next."""
    return str(1 << (tokens.bit_length() - 1)) if tokens else "0"


def _prompt_length(example: Example) -> str:
    return label_length(sum(count_tokens(message.content) for message in example.messages))


def _keep_frequent(counts: Counter[str]) -> dict[str, int]:
    # Ties by name, so that one set of examples has one profile.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = Counter(dict(ordered[:_MOST_LABELS]))
    rest = sum(count for _, count in ordered[_MOST_LABELS:])
    return dict(sorted((kept + Counter({OTHER: rest})).items()))


DIMENSIONS: dict[str, Callable[[Example], str]] = {
    "answer_length": lambda example: label_length(count_tokens(example.answer)),
    "domain": lambda example: label_text(example.domain),
    "language": lambda example: detect_language(last_request(example)),
    "prompt_length": _prompt_length,
    "quality": lambda example: NONE if example.quality is None else f"{int(example.quality * 10) / 10:g}",
    "source": lambda example: label_text(example.source),
}
