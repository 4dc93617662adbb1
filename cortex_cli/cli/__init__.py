"""Commands, rendering and the one error funnel.

In: arguments, environment and a terminal. Out: data on stdout, talk on stderr, an exit code.
Every verb is one module under `commands`, found through the static catalogue and imported only
when it runs. Nothing here decides or computes: rooms below return values, and this room shows them.
"""

__all__ = [
    "app",
    "catalog",
    "commands",
    "completions",
    "context",
    "errors",
    "framework",
    "help",
    "keyboard",
    "options",
    "output",
    "overview",
    "pages",
    "progress",
    "session",
    "signals",
    "suggest",
]
