import json
from pathlib import Path

import pytest

from cortex_cli.domain.errors import FaultsError, UsageError
from cortex_cli.domain.interactions import Message
from cortex_cli.evaluate.suites import Case, JudgeSpec, read_suite, suite_of_cases
from cortex_cli.store.starter import starter_root


def write(folder: Path, toml: str, *lines: object) -> Path:
    path = folder / "calls.toml"
    path.write_text(toml, encoding="utf-8")
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / "calls.jsonl").write_text(text, encoding="utf-8")
    return path


def test_a_toml_file_names_judge_threshold_and_cases(tmp_path: Path) -> None:
    toml = 'summary = "s"\nthreshold = 0.5\njudge = { name = "similarity", measure = "rouge", threshold = 0.8 }\n'
    suite = read_suite(write(tmp_path, toml, {"request": "q", "reference": "a"}))

    assert suite.name == "calls"
    assert suite.spec is not None
    assert suite.spec.judge == JudgeSpec(name="similarity", measure="rouge", threshold=0.8)
    assert suite.spec.threshold == 0.5


def test_a_case_may_have_several_references_a_judge_a_group_and_tags(tmp_path: Path) -> None:
    line = {"request": "q", "references": ["a", "b"], "judge": "contains", "group": "g", "tags": ["t"], "domain": "d"}
    (case,) = read_suite(write(tmp_path, "", line)).cases

    assert case.accepted() == ("a", "b")
    assert (case.judge, case.group, case.tags, case.domain) == ("contains", "g", ("t",), "d")


def test_a_limit_takes_the_first_cases(tmp_path: Path) -> None:
    lines = [{"request": f"q{n}", "reference": "a"} for n in range(5)]

    assert len(read_suite(write(tmp_path, "limit = 2", *lines)).cases) == 2


def test_the_judge_is_part_of_the_digest_and_the_words_about_it_are_not(tmp_path: Path) -> None:
    line = {"request": "q", "reference": "a"}
    digests = [
        read_suite(write(tmp_path, toml, line)).digest
        for toml in ('judge = "exact"', 'summary = "x"', 'judge = "json"')
    ]

    assert digests[0] == digests[1] != digests[2]


def test_cases_without_new_fields_keep_the_digest_that_they_had() -> None:
    case = Case("c0", (Message("user", "q0"),), "a0", "even")

    # Pinned: a champion's recorded scores are paired by this digest.
    assert suite_of_cases("s", [case]).digest.startswith("sha256:13ab7a1e9d24bcf0")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('judge = "exat"', "judge"),
        ("judge = { name = 'similarity', threshold = 2.0 }", "threshold is a share"),
        ("threshold = 1.5", "threshold is a share"),
        ("tresholds = 1", "did you mean 'threshold'"),
        ("a = ", "not TOML"),
    ],
)
def test_faults_of_a_toml_file_are_named(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(FaultsError, match=said):
        read_suite(write(tmp_path, toml, {"request": "q", "reference": "a"}))


def test_faults_of_lines_are_reported_together_with_their_numbers(tmp_path: Path) -> None:
    lines = [
        "{",
        {"request": "q"},
        {"reference": "a"},
        {"request": "q", "reference": "a", "judge": "guess"},
        {"request": "q", "reference": "(", "judge": "pattern"},
        {"request": "q", "reference": "a", "extra": 1},
    ]
    with pytest.raises(FaultsError) as found:
        read_suite(write(tmp_path, "", *lines))

    assert [fault.where for fault in found.value.faults] == [f"line {number}" for number in range(1, 7)]


def test_a_judge_that_needs_no_reference_asks_for_none(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, 'judge = "refuses"', {"request": "q"}, {"request": "r", "judge": "program"}))

    assert [case.reference for case in suite.cases] == ["", ""]


def test_missing_empty_and_unreadable_cases_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 'cases = "other.jsonl"')
    with pytest.raises(UsageError, match=r"other\.jsonl', which does not exist"):
        read_suite(path)
    with pytest.raises(UsageError, match="has no cases"):
        read_suite(write(tmp_path, ""))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_suite(path)


@pytest.mark.parametrize("name", ["general", "safety", "programs"])
def test_every_shipped_suite_can_be_read_and_says_what_it_is(name: str) -> None:
    suite = read_suite(starter_root() / "datasets" / "suites" / f"{name}.toml")

    assert suite.spec is not None
    assert suite.spec.summary
    assert suite.spec.measures
    assert suite.spec.licence
    assert len(suite.cases) >= 12
