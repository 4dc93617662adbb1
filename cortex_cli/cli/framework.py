"""The command-line framework, kept behind one door: everything that is particular to typer is here.

Typer 0.26 to 0.28 carries its own copy of click, and its help is either rich (170 ms more) or bare.
So commands are built one at a time when their verb runs, and help is rendered from `pages`.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
import typer.core
import typer.main

from cortex_cli import __version__
from cortex_cli.cli.catalog import NOT_BUILT, SECTIONS, VERBS, Entry
from cortex_cli.cli.pages import Page, Parameter, Row
from cortex_cli.cli.session import session
from cortex_cli.cli.suggest import guess_clause
from cortex_cli.domain.errors import UsageError

__all__ = ["Argument", "Option", "describe", "leave", "load_verb", "root", "run_command", "walk_pages"]

Argument = typer.Argument
Option = typer.Option
Verb = Callable[..., None]

_UNSET: tuple[object, ...] = (None, "", (), [], False)


def leave(code: int) -> None:
    """End the verb with exit *code*; for outcomes that are not errors, such as faults that fsck found."""
    raise typer.Exit(code)


def root() -> "Root":
    """Return the whole command tree; no module of a verb is imported yet."""
    version = typer.core.TyperOption(
        param_decls=["--version"], help="show the version", is_flag=True, expose_value=False, callback=_show_version
    )
    return Root(
        name="cortex",
        help="Make an LLM system improve itself from its own use, with git as the record.",
        params=[version, *_common_options()],
        callback=_nothing,
    )


def load_verb(name: str, entry: Entry) -> Any:
    """Import the module of verb *name* and build its command, or its group of commands."""
    module = importlib.import_module(f"cortex_cli.cli.commands.{entry.module}")
    target: Verb | Mapping[str, Verb] = getattr(module, entry.attribute)
    if callable(target):
        return _build_command(name, target)
    commands: dict[str, Any] = {sub: _build_command(sub, function) for sub, function in target.items()}
    return Group(name=name, help=module.__doc__, commands=commands, params=_common_options(), callback=_nothing)


def run_command(command: typer.core.TyperGroup, arguments: Sequence[str]) -> int:
    """Parse *arguments*, run the verb and return its exit code; a wrong argument is a `UsageError`."""
    try:
        with command.make_context("cortex", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        raise _usage_error(error) from error
    return 0


def describe(command: Any, name: str) -> Page:
    """Turn *command*, called *name* with all words before it, into a page."""
    params = [_parameter(param) for param in _visible(command)]
    later = "\n\nNot built yet." if _mark(_verb(name)) else ""
    return Page(
        name=name,
        summary=_summary(command, name),
        text=_paragraphs(command.help or "") + later,
        arguments=tuple(param for param in params if not param.names),
        options=tuple(param for param in params if param.names),
        verbs=tuple(_rows(command, name)),
    )


def walk_pages() -> list[Page]:
    """Return the pages of the program and of every verb, in the order of the help page; imports all verbs."""
    top = root()
    pages = [describe(top, "cortex")]
    for verb, entry in VERBS.items():
        command = load_verb(verb, entry)
        pages.append(describe(command, f"cortex {verb}"))
        if isinstance(command, Group):
            pages += [describe(sub, f"cortex {verb} {name}") for name, sub in command.commands.items()]
    return pages


class Command(typer.core.TyperCommand):
    """A verb: takes the common options besides its own, and renders its own help."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params = [*self.params, *_common_options()]

    def get_help(self, ctx: Any) -> str:
        """Return the help page."""
        return _help_of(self, ctx)


class Group(typer.core.TyperGroup):
    """A group of verbs: without arguments it shows its help, and it knows a verb that was mistyped."""

    def get_help(self, ctx: Any) -> str:
        """Return the help page."""
        return _help_of(self, ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse options up to the verb; nothing at all means `--help`."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb in *args*; raise `UsageError` with the nearest verbs otherwise."""
        command = self.get_command(ctx, args[0])
        if command is None:
            raise _no_such_verb(ctx.command_path, args[0], self.list_commands(ctx))
        return args[0], command, args[1:]


class Root(Group):
    """The program: verbs come from the catalogue and are imported when they run."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the framework passes it
        """Return the names of all verbs, in the order of the help page."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  the framework passes it
        """Return the command of a verb, importing its module; None for an unknown verb."""
        entry = VERBS.get(cmd_name)
        return load_verb(cmd_name, entry) if entry else None


def _nothing() -> None:
    """Stand where the framework wants a callback for a group; the common options do their own work."""


def _show_version(_context: Any, _param: Any, value: Any) -> Any:
    if value:
        typer.echo(f"cortex {__version__}")
        leave(0)
    return value


def _build_command(name: str, function: Verb) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, cls=Command)(function)
    return typer.main.get_command(app)


def _help_of(command: Any, ctx: Any) -> str:
    from cortex_cli.cli.help import render_help, stdout_style

    return render_help(describe(command, ctx.command_path), stdout_style())


def _usage_error(error: typer.TyperException) -> UsageError:
    message = error.format_message().strip().removesuffix(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "cortex"
    return UsageError(message[:1].lower() + message[1:], hint=f"{path} --help", state="nothing was changed")


def _no_such_verb(path: str, typed: str, known: list[str]) -> UsageError:
    message = f"'{path}' has no verb {typed!r}{guess_clause(typed, known)}"
    return UsageError(message, hint=f"{path} --help", state="nothing was changed")


def _common_options() -> list[Any]:
    return [
        _common(["-C", "--workspace"], "use the workspace at DIR (or CORTEX_WORKSPACE)", metavar="DIR"),
        _common(["--plain"], "no colours, tables as tab-separated columns"),
        _common(["-q", "--quiet"], "no talk and no progress on stderr"),
        _common(["--debug"], "show the traceback of an unexpected failure"),
    ]


def _common(names: list[str], text: str, metavar: str | None = None) -> Any:
    field = names[-1].removeprefix("--")

    def record(_context: Any, _param: Any, value: Any) -> Any:
        if value:
            setattr(session(), field, value)
        return value

    option = typer.core.TyperOption(
        param_decls=names, help=text, metavar=metavar, is_flag=metavar is None, expose_value=False, callback=record
    )
    option.rich_help_panel = "Common"
    return option


def _visible(command: Any) -> list[Any]:
    return [param for param in command.params if not getattr(param, "hidden", False)]


def _parameter(param: Any) -> Parameter:
    is_option = param.param_type_name == "option"
    is_flag = bool(getattr(param, "is_flag", False))
    choices = tuple(str(choice) for choice in getattr(param.type, "choices", ()))
    fallback = "|".join(choices) if choices and is_option else param.name.upper().replace("_", "-")
    return Parameter(
        names=(*param.opts, *param.secondary_opts) if is_option else (),
        metavar="" if is_flag else (param.metavar or fallback).strip("[]"),
        text=param.help or "",
        choices=choices,
        default="" if is_flag else _default(param),
        required=param.required,
        repeats=param.nargs == -1 or bool(getattr(param, "multiple", False)),
        common=getattr(param, "rich_help_panel", None) == "Common",
    )


def _default(param: Any) -> str:
    value = param.default
    if not param.show_default or callable(value) or value in _UNSET:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "value", value))


def _verb(name: str) -> str:
    return name.removeprefix("cortex").strip()


def _summary(command: Any, name: str) -> str:
    verb = _verb(name)
    summary = VERBS[verb].summary if verb in VERBS else _first_line(command.help or "")
    return summary + _mark(verb)


def _rows(command: Any, name: str) -> list[Row]:
    if isinstance(command, Root):
        return [Row(verb, entry.summary + _mark(verb), entry.section) for verb, entry in _by_section()]
    verbs: Mapping[str, Any] = getattr(command, "commands", {})
    return [Row(verb, _summary(sub, f"{name} {verb}")) for verb, sub in verbs.items()]


def _by_section() -> list[tuple[str, Entry]]:
    return sorted(VERBS.items(), key=lambda item: SECTIONS.index(item[1].section))


def _mark(verb: str) -> str:
    return " (not built yet)" if verb in NOT_BUILT else ""


def _first_line(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first[:1].lower() + first[1:].removesuffix(".")


def _paragraphs(text: str) -> str:
    import inspect

    return inspect.cleandoc(text)
