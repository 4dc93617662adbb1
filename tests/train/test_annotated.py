import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import UsageError
from cortex_cli.train.annotated import Annotated, Mark, mask_marks, read_annotated, vary_case

TEXT = Annotated("Anna lives in Graz", (Mark(0, 4, "PERSON"), Mark(14, 18, "PLACE")), "{} lives in {}")


def values(text: Annotated) -> list[str]:
    return [text.text[start:end] for start, end, _ in text.marks]


def test_a_pack_is_read_with_its_labels_in_our_words(tmp_path: Path) -> None:
    spans = [
        {"entity_type": "GPE", "start_position": 14, "end_position": 18},
        {"entity_type": "PERSON", "start_position": 0, "end_position": 4},
        {"entity_type": "US_DRIVER_LICENSE", "start_position": 5, "end_position": 10},
    ]
    row = {"full_text": TEXT.text, "masked": "{{PERSON}}  Lives in {{GPE}}", "spans": spans}
    path = tmp_path / "pack.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    (text,) = read_annotated(path)
    assert [mark.label for mark in text.marks] == ["PERSON", "ID", "PLACE"]
    assert text.template == "{} lives in {}"


def test_a_missing_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone"):
        read_annotated(tmp_path / "gone.jsonl.gz")


def test_a_cut_becomes_a_placeholder_and_marks_move_along() -> None:
    masked = mask_marks(TEXT, [(5, 10, "VERB")])
    assert masked.text == "Anna <VERB_aaaaaaaaaa> in Graz"
    assert values(masked) == ["Anna", "Graz"]


def test_what_a_cut_takes_of_a_mark_is_no_longer_marked() -> None:
    assert values(mask_marks(TEXT, [(14, 18, "X")])) == ["Anna"]
    assert values(mask_marks(TEXT, [(2, 16, "X")])) == ["An", "az"]
    assert values(mask_marks(TEXT, [(1, 2, "X"), (3, 4, "Y")])) == ["A", "n", "Graz"]


def test_cases_vary_and_marks_stay_in_place() -> None:
    source = random.Random(0)
    forms = {vary_case(TEXT, source).text for _ in range(200)}
    assert {TEXT.text, TEXT.text.lower(), TEXT.text.upper(), "ANNA lives in Graz"} <= forms
    assert all(len(form) == len(TEXT.text) for form in forms)


def test_a_text_whose_length_depends_on_its_case_stays() -> None:
    text = Annotated("STRAßE", (), "")
    assert all(len(vary_case(text, random.Random(seed)).text) == 6 for seed in range(60))


@given(st.sets(st.integers(0, 18), min_size=2, max_size=6))
def test_marks_always_cover_what_they_covered_before(places: set[int]) -> None:
    ordered = sorted(places)
    cuts = [(start, end, "X") for start, end in zip(ordered[::2], ordered[1::2], strict=False)]
    masked = mask_marks(TEXT, cuts)
    left = {place for mark in TEXT.marks for place in range(mark.start, mark.end)}
    left -= {place for start, end, _ in cuts for place in range(start, end)}
    assert sorted("".join(values(masked))) == sorted(TEXT.text[place] for place in left)
