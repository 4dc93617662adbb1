"""cortex evaluate as a user types it, on the shipped base."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program

pytestmark = pytest.mark.model


@pytest.fixture
def lab(cortex: "Program", tmp_path: Path) -> Path:
    root = tmp_path / "lab"
    assert cortex("init", str(root)).code == 0
    cortex.environ["CORTEX_WORKSPACE"] = str(root)
    return root


@pytest.fixture
def champion(cortex: "Program", lab: Path) -> str:
    return str(cortex("status", "--json").data["agents"][0]["champion"]["id"])


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """Four requests in two domains, with one answer that nobody gives."""
    path = tmp_path / "suite.jsonl"
    lines = [
        {"request": f"question {number}", "reference": '{"tool": "never"}', "domain": "ab"[number % 2]}
        for number in range(4)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def test_the_report_shows_intervals_domains_cost_and_where_the_result_is(
    cortex: "Program", champion: str, suite: str
) -> None:
    outcome = cortex("evaluate", champion, "--suite", suite)

    assert outcome.code == 0, outcome.err
    assert "suite: 4 cases, judged by json" in outcome.out
    assert "TOKENS/CASE  MS/CASE  $/CASE" in outcome.out
    assert "DOMAIN  RIGHT  CASES" in outcome.out
    assert "gate errors: passed: 0.0% errors" in outcome.out
    assert "passed; kept as sha256:" in outcome.out


def test_several_suites_and_a_rival_of_ones_choice(cortex: "Program", lab: Path, champion: str, suite: str) -> None:
    other = str(cortex("status", "--json").data["agents"][1]["champion"]["id"])
    data = cortex("evaluate", champion, "--suite", suite, "--suite", "programs", "--against", other, "--json").data

    assert [report["suite"] for report in data["suites"]] == ["suite", "programs"]
    assert data["against"] == other
    assert data["comparison"]["cases"] == 4
    assert data["scores"]["suite_digest"] == data["champion"]["suite_digest"]
    assert {gate["name"] for gate in data["gates"]} == {"success", "errors", "not worse"}
    assert data["digest"].startswith("sha256:")


def test_a_gate_is_overridden_only_by_a_name_with_a_reason(
    cortex: "Program", lab: Path, champion: str, suite: str
) -> None:
    recipe = lab / "recipes" / "dispatch.toml"
    before, _, rest = recipe.read_text().partition("[evaluate.gates]")
    recipe.write_text(f"{before}[evaluate.gates]\nmin_success = 0.9\n\n[release]{rest.partition('[release]')[2]}")
    asked = ("evaluate", champion, "--suite", suite, "--recipe", "dispatch", "--exit-code")
    refused = cortex(*asked)
    silent = cortex(*asked, "--override", "success", "--by", "Ada")
    wrong = cortex(*asked, "--override", "taste", "--by", "Ada", "--because", "a trial")
    data = cortex(*asked, "--override", "success", "--by", "Ada", "--because", "a trial", "--json").data

    assert refused.code == 3
    assert "a gate refuses" in refused.err
    assert (silent.code, "needs a reason" in silent.err) == (2, True)
    assert (wrong.code, "there is no gate 'taste'" in wrong.err) == (2, True)
    (gate,) = [gate for gate in data["gates"] if gate["name"] == "success"]
    assert gate["override"]["by"] == "Ada"
    assert gate["outcome"] == "failed"
    assert data["passed"]


def test_undecided_is_said_as_such_and_lets_nothing_through(
    cortex: "Program", lab: Path, champion: str, suite: str
) -> None:
    recipe = lab / "recipes" / "dispatch.toml"
    recipe.write_text(recipe.read_text().replace("[evaluate.gates]", "[evaluate.gates]\nmin_success = 0.3"))
    asked = ("evaluate", champion, "--suite", suite, "--recipe", "dispatch")
    plain, strict = cortex(*asked), cortex(*asked, "--exit-code")
    reviewed = cortex(*asked, "--review", "2", "--json").data

    assert "gate success: UNDECIDED: 0.0% right of 4" in plain.out
    assert "undecided: more cases, or people" in plain.err
    assert strict.code == 3
    assert "no gate refuses, but not every gate lets through" in strict.err
    assert len(reviewed["review"]) == 2
    assert cortex("review", "--list", "--json").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "there is no suite to evaluate on"),
        (("--suite", "nonsense"), "nonsense"),
        (("--suite", "absent.toml"), "does not exist"),
        (("--card",), "has no adapter"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    cortex: "Program", champion: str, arguments: tuple[str, ...], said: str
) -> None:
    outcome = cortex("evaluate", champion, *arguments)

    assert outcome.code == 2
    assert said in outcome.err


def test_a_broken_suite_is_told_by_its_lines(cortex: "Program", champion: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"request": "q"}\nno\n', encoding="utf-8")
    outcome = cortex("evaluate", champion, "--suite", str(path))

    assert outcome.code == 2
    assert "line 1" in outcome.err
    assert "line 2" in outcome.err


def test_a_task_of_the_harness_names_the_extra_that_it_needs(cortex: "Program", champion: str) -> None:
    from importlib.util import find_spec

    if find_spec("lm_eval") is not None:
        pytest.skip("lm-eval is installed")
    outcome = cortex("evaluate", champion, "--suite", "lm-eval:arc_easy")

    assert outcome.code == 1
    assert "'lm-eval' extra" in outcome.err
