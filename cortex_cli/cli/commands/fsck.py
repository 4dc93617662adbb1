"""`cortex fsck`: is the registry whole, and mending where that is safe."""

from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import objects, registry
from cortex_cli.cli.framework import Option, leave
from cortex_cli.cli.options import JsonOption, WaitOption
from cortex_cli.cli.output import emit, show_text
from cortex_cli.domain.errors import IntegrityError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.registry.audit import Finding
    from cortex_cli.registry.repair import Repaired

__all__ = ["fsck"]


def fsck(
    repair: Annotated[bool, Option("--repair", help="mend what a kill or a bad disk left behind, then check")] = False,
    content: Annotated[bool, Option("--read-data", help="read and hash every object, not only its size")] = False,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check git's objects, every manifest, the account of every commit, and the content they refer to.

    Ends with 13 if there is an error; warnings and notes alone end with 0. --repair removes stale lock
    and temporary files, renews copies in the worktree and sets corrupt objects aside; it never rewrites
    history.
    """
    from cortex_cli.registry.fsck import check
    from cortex_cli.registry.repair import repair as mend

    reader, store = registry(wait=wait), objects()
    mended = mend(reader, store) if repair else []
    findings = check(reader, store, depth="content" if content else "sizes")
    errors = sum(finding.severity == "error" for finding in findings)
    data = {"findings": findings, "repaired": [each._asdict() for each in mended], "errors": errors}
    emit("fsck", data, lambda console: _show(console, findings, mended), as_json=as_json, ok=not errors)
    if errors:
        leave(IntegrityError.exit_code)


def _show(console: "Console", findings: "list[Finding]", mended: "list[Repaired]") -> None:
    for each in mended:
        console.print(f"repaired {show_text(each.subject)}: {show_text(each.what)}")
    for finding in findings:
        console.print(f"{finding.severity} {show_text(finding.subject)}: {show_text(finding.what)}")
        if finding.repair:
            console.print(f"  next: {show_text(finding.repair)}")
    if not findings:
        console.print("everything is whole")
