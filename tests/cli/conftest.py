"""The program as a test uses it: arguments in, exit code and both streams out."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.cli.app import run
from cortex_cli.domain.manifests import Agent, Model
from cortex_cli.registry import actions
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.workspace import Workspace


@dataclass(frozen=True)
class Outcome:
    """What one run of the program gave."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The content of the JSON envelope on stdout."""
        return json.loads(self.out)["data"]

    @property
    def error(self) -> Any:
        """The error object: the last line of stderr."""
        return json.loads(self.err.splitlines()[-1])


class Program:
    """Runs the program in this process, in an environment of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], home: Path) -> None:
        self.capsys = capsys
        self.home = home
        self.environ: dict[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def __call__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
        """Run the program on *arguments*; *environ* is added to the environment of this program."""
        self.capsys.readouterr()
        code = run(arguments, self.environ | dict(environ or {}))
        out, err = self.capsys.readouterr()
        return Outcome(code, out, err)


@pytest.fixture
def cortex(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program, with an empty home and outside of any workspace."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return Program(capsys, tmp_path / "home")


@pytest.fixture
def folder(cortex: Program, tmp_path: Path) -> Path:
    """A workspace without a registry: a folder with a cortex.toml, which *cortex* works in."""
    root = tmp_path / "workspace"
    (root / "recipes").mkdir(parents=True)
    (root / "prompts" / "dispatch").mkdir(parents=True)
    (root / "cortex.toml").write_text("schema = 1\n", encoding="utf-8")
    cortex.environ["CORTEX_WORKSPACE"] = str(root)
    return root


PROMPT = '+++\nsummary = "{agent}"\nvariables = {{ {name} = "str" }}\n+++\n{{{{ {name} }}}}\n'


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """Starter content that never changes: a recipe and two prompts, no agents."""
    root = tmp_path / "starter"
    files = {
        "recipes/base.toml": 'summary = "an adapter"\n[train]\nagent = "dispatch"\ndataset = "dispatch"\n',
        "prompts/dispatch/main.md": PROMPT.format(agent="dispatch", name="utterance"),
        "prompts/shell/main.md": PROMPT.format(agent="shell", name="request"),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def empty(starter: Path, tmp_path: Path) -> Path:
    """A workspace without agents."""
    return start_workspace(tmp_path / "empty", name="empty", starter=starter).root


@pytest.fixture
def workspace(cortex: Program, starter: Path, tmp_path: Path) -> Path:
    """A workspace with agent dispatch, its champion and another variant; *cortex* works in it."""
    root = start_workspace(tmp_path / "workspace", name="test", starter=starter).root
    cortex.environ["CORTEX_WORKSPACE"] = str(root)
    registry = Registry(Workspace(root))
    actions.add_model(registry, Model(name="tiny", kind="local", source="/models/tiny"))
    actions.add_agent(registry, Agent(agent="dispatch", summary="an utterance in, a tool call out"))
    ids = []
    for number in (1, 2):
        draft = actions.make_variant(
            registry.snapshot(), agent="dispatch", model="tiny", parameters={"temperature": number}
        )
        ids.append(actions.add_variant(registry, draft).id)
    actions.promote(registry, "dispatch", ids[0])
    (root / "ids").write_text("\n".join(ids), encoding="utf-8")
    return root


@pytest.fixture
def ids(workspace: Path) -> tuple[str, str]:
    """The champion and the other variant of agent dispatch in *workspace*."""
    first, second = (workspace / "ids").read_text(encoding="utf-8").splitlines()
    return first, second
