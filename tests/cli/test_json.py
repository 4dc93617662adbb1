"""The promise of `--json`: one object on stdout, or one error object as the last line of stderr."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.cli.framework import walk_pages

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome, Program

# Words with which a verb is run in a small workspace; those of later stages are refused there, which is a promise too.
WORDS: dict[str, list[str]] = {
    "ab power": ["--baseline", "0.5"],
    "ab replay": ["nowhere.jsonl"],
    "ab start": ["dispatch", "--challenger", "x"],
    "ab status": [],
    "ab stop": ["nothing"],
    "adapter card": ["dispatch-000000000000"],
    "adapter export": ["dispatch-000000000000", "here"],
    "adapter ls": [],
    "collect": ["log.jsonl"],
    "config show": [],
    "curate": ["nothing"],
    "cycle": [],
    "dataset audit": ["dispatch"],
    "dataset card": ["dispatch"],
    "dataset diff": ["dispatch/v0001", "dispatch/v0002"],
    "dataset export": ["dispatch/v0001"],
    "dataset ls": [],
    "dataset quarantine": ["dispatch/v0001", "--reason", "odd"],
    "dataset show": ["dispatch"],
    "dataset verify": [],
    "demo": ["--dir", "prompts"],  # a folder that is not empty and no workspace is refused
    "diff": [],
    "doctor": [],
    "evaluate": ["dispatch-000000000000", "--suite", "dispatch:test"],
    "explain": ["i-000000000000000000000000"],
    "feedback": ["i-000000000000000000000000", "--thumbs", "up"],
    "forget": [],
    "fsck": [],
    "gc": ["--dry-run"],
    "init": ["."],
    "log": [],
    "promote": ["dispatch", "dispatch-000000000000"],
    "prompt diff": ["dispatch"],
    "prompt ls": [],
    "prompt optimize": ["dispatch"],
    "prompt render": ["dispatch", "--set", "utterance=hi"],
    "prompt show": ["dispatch"],
    "recipe cp": ["base", "mine"],
    "recipe ls": [],
    "recipe show": ["base"],
    "recipe validate": [],
    "review": [],
    "rollback": ["dispatch"],
    "schedule": [],
    "status": [],
    "train": ["nothing"],
    "verify": [],
    "why": ["i-000000000000000000000000"],
}
# These succeed in any sound workspace, so a refusal of theirs is a fault.
SUCCEED = {
    "config show",
    "dataset ls",
    "diff",
    "doctor",
    "fsck",
    "gc",
    "init",
    "log",
    "prompt diff",
    "prompt ls",
    "prompt render",
    "prompt show",
    "recipe cp",
    "recipe ls",
    "recipe show",
    "recipe validate",
    "review",
    "schedule",
    "status",
}


def check_envelope(verb: str, outcome: "Outcome") -> None:
    assert outcome.out.endswith("\n")
    assert len(outcome.out.splitlines()) == 1
    found = json.loads(outcome.out)
    assert list(found) == ["schema", "ok", "data"]
    assert found["schema"] == f"cortex.{verb.replace(' ', '.')}/1"
    assert found["ok"] is (outcome.code == 0)
    assert_sorted(found["data"])
    assert "\x1b" not in outcome.out


def assert_sorted(value: object) -> None:
    if isinstance(value, dict):
        assert list(value) == sorted(value)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        assert_sorted(child)


def check_error(outcome: "Outcome") -> None:
    assert outcome.out == ""
    assert list(outcome.error) == ["schema", "ok", "code", "message", "state", "hint", "exit"]
    assert (outcome.error["ok"], outcome.error["exit"]) == (False, outcome.code)
    assert outcome.error["code"] != "E_UNEXPECTED", outcome.error["message"]


def test_every_verb_that_takes_json_is_run_here() -> None:
    taking = {
        page.name.removeprefix("cortex ")
        for page in walk_pages()
        if any("--json" in option.names for option in page.options)
    }
    assert taking == set(WORDS)


@pytest.mark.parametrize("verb", WORDS)
def test_json_is_one_object_or_one_error_object(
    verb: str, cortex: "Program", workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "log.jsonl").write_text("not a record\n", encoding="utf-8")
    monkeypatch.chdir(workspace)
    outcome = cortex(*verb.split(" "), *WORDS[verb], "--json")
    if outcome.out:
        check_envelope(verb, outcome)
    else:
        assert outcome.code != 0
        assert verb not in SUCCEED, outcome.err
        check_error(outcome)
