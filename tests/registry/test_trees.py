from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.errors import ConflictError, CortexError, IntegrityError, UsageError
from cortex_cli.registry.catfile import CatFile
from cortex_cli.registry.git import Git
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.registry.trees import parse_tree, write_trees

User = Callable[..., str]


def blob(git: Git, data: bytes) -> str:
    return git.run("hash-object", "-w", "--stdin", stdin=data).decode().strip()


def listing(user: User, tree: str) -> list[str]:
    return user("ls-tree", "-r", "--name-only", tree).splitlines()


def test_a_tree_is_what_git_lists(root: Path, user: User) -> None:
    git = Git(root)
    with CatFile(git) as objects:
        found = objects.find("HEAD^{tree}")
    assert found is not None
    tree = parse_tree(found.data, digits=40)
    expected = [line.split() for line in user("ls-tree", "HEAD").splitlines()]
    assert {name: entry.oid for name, entry in tree.items()} == {parts[3]: parts[2] for parts in expected}
    assert tree["registry"].is_folder
    assert not tree["cortex.toml"].is_folder


def test_only_the_touched_path_differs_in_the_new_tree(root: Path, user: User) -> None:
    git = Git(root)
    snapshot = Snapshot(git, git.head())
    new = write_trees(git, snapshot.entries, {"registry/agents/extra.toml": blob(git, b"new")})
    assert user("diff-tree", "-r", "--name-status", "HEAD", new) == "A\tregistry/agents/extra.toml"


def test_new_folders_are_made_at_any_depth(root: Path, user: User) -> None:
    git = Git(root)
    new = write_trees(git, Snapshot(git, git.head()).entries, {"datasets/calls/deep/v0001.toml": blob(git, b"x")})
    assert "datasets/calls/deep/v0001.toml" in listing(user, new)


def test_a_folder_that_becomes_empty_goes(root: Path, user: User) -> None:
    git = Git(root)
    new = write_trees(git, Snapshot(git, git.head()).entries, {"registry/models/base.toml": ""})
    assert user("ls-tree", "-d", "-r", "--name-only", new).splitlines() == [
        "prompts",
        "prompts/dispatch",
        "prompts/shell",
        "registry",
        "registry/agents",
    ]


def test_a_repository_without_commits_gets_its_first_tree(tmp_path: Path) -> None:
    git = Git.create(tmp_path)
    new = write_trees(git, Snapshot(git, "").entries, {"cortex.toml": blob(git, b"x"), "a/b": blob(git, b"y")})
    assert git.run("ls-tree", "-r", "--name-only", new).decode().split() == ["a/b", "cortex.toml"]


def test_names_of_the_user_survive_whatever_their_bytes(root: Path, user: User) -> None:
    for name in ("with space", "quote'\"", "umläut", "new\nline", "tab\there"):
        (root / name).write_text("x", encoding="utf-8")
    (root / "latin").mkdir()
    Path(bytes(root / "latin").decode(), "caf\udce9").write_text("x", encoding="utf-8")
    user("add", ".")
    user("commit", "--quiet", "--message=odd names")
    git = Git(root)
    new = write_trees(git, Snapshot(git, git.head()).entries, {"registry/x.toml": blob(git, b"x")})
    assert user("diff-tree", "-r", "--name-status", "HEAD", new) == "A\tregistry/x.toml"


def test_modes_of_the_users_files_survive(root: Path, user: User) -> None:
    (root / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("run.sh")
    user("add", ".")
    user("commit", "--quiet", "--message=modes")
    git = Git(root)
    new = write_trees(git, Snapshot(git, git.head()).entries, {"registry/x.toml": blob(git, b"x")})
    assert user("ls-tree", new, "run.sh", "link").split()[0::4] == ["120000", "100755"]


def test_a_file_where_a_folder_is_needed_is_a_conflict(root: Path) -> None:
    git = Git(root)
    with pytest.raises(ConflictError, match=r"'cortex\.toml' is a file"):
        write_trees(git, Snapshot(git, git.head()).entries, {"cortex.toml/inner.toml": blob(git, b"x")})


def test_a_tree_that_git_refuses_is_told_in_gits_words(root: Path) -> None:
    git = Git(root)
    with pytest.raises(CortexError, match="git mktree failed"):
        write_trees(git, Snapshot(git, git.head()).entries, {"registry/x.toml": "not an id"})


def test_objects_are_found_by_every_kind_of_name(root: Path, user: User) -> None:
    with CatFile(Git(root)) as objects:
        names = ["HEAD", "refs/heads/main", "HEAD:cortex.toml", ":cortex.toml", "HEAD:registry"]
        found = [objects.find(name) for name in names]
    assert [item.kind for item in found if item] == ["commit", "commit", "blob", "blob", "tree"]
    assert found[0] is not None
    assert found[0].oid == user("rev-parse", "HEAD")


def test_what_is_not_there_is_none(root: Path) -> None:
    with CatFile(Git(root)) as objects:
        assert objects.find("HEAD:nothing") is None
        assert objects.find("refs/heads/nothing") is None
        assert objects.find("0" * 40) is None
        assert objects.find("HEAD:cortex.toml") is not None


def test_a_name_with_a_newline_asks_nothing(root: Path) -> None:
    with CatFile(Git(root)) as objects, pytest.raises(UsageError):
        objects.find("HEAD\nHEAD:cortex.toml")


def test_content_with_newlines_and_nuls_comes_whole(root: Path) -> None:
    git = Git(root)
    data = b"\0\n" * 100_000
    oid = blob(git, data)
    with CatFile(git) as objects:
        found = objects.find(oid)
        assert found is not None
        assert found.data == data
        assert objects.find("HEAD") is not None


def test_a_closed_block_answers_nothing(root: Path) -> None:
    objects = CatFile(Git(root))
    with objects:
        pass
    with pytest.raises(IntegrityError, match="closed"):
        objects.find("HEAD")


def test_a_corrupt_object_is_an_integrity_error_where_it_must_be_there(root: Path) -> None:
    git = Git(root)
    oid = blob(git, b"precious")
    path = root / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(b"garbage")
    with CatFile(git) as objects, pytest.raises(IntegrityError, match="missing or corrupt") as caught:
        objects.load(oid)
    assert caught.value.exit_code == 13


def test_a_git_that_stops_answering_is_told_in_its_own_words(root: Path) -> None:
    (root / ".git" / "config").write_text("[broken\n", encoding="utf-8")
    with CatFile(Git(root)) as objects, pytest.raises(CortexError, match=r"git cat-file failed: .*bad config"):
        objects.find("HEAD")
