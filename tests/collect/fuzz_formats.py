"""Coverage-guided fuzzing of every importer: `python -m tests.collect.fuzz_formats CORPUS -max_total_time=300`.

Needs `pip install atheris`; pytest does not collect it. A new corpus folder is filled with the recorded lines of
every producer. A finding is written as `crash-*`: `python -m tests.collect.fuzz_formats crash-...` shows it again.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]  # it has no types

with atheris.instrument_imports(include=["cortex_cli.collect", "cortex_cli.domain"]):
    from cortex_cli.collect.reading import FORMATS, load_format
    from tests.collect.checking import check_content, recorded_lines

    # Imported here, or their branches would not be seen.
    for name in FORMATS:
        load_format(name)

_FORMS = ("", *sorted(FORMATS))


def fuzz_one(data: bytes) -> None:
    """Read *data* after its first byte, which chooses the format."""
    if data:
        check_content(data[1:], _FORMS[data[0] % len(_FORMS)])


def fill_corpus(folder: Path) -> None:
    """Write the recorded lines into *folder*, each for its format to be recognised and for two to be spliced."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = recorded_lines()
    for number, (line, following) in enumerate(zip(lines, [*lines[1:], lines[0]], strict=True)):
        (folder / f"recorded-{number}").write_bytes(b"\0" + line)
        (folder / f"spliced-{number}").write_bytes(b"\0" + line + b"\n" + following)


def main() -> None:
    """Fuzz until the arguments of libFuzzer say that it is enough."""
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    if folders and not folders[0].exists():
        fill_corpus(folders[0])
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
