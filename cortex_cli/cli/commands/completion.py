"""`cortex completion`: the static completion script of a shell."""

import sys
from typing import Annotated, Literal

from cortex_cli.cli.framework import Argument, walk_pages

__all__ = ["completion"]

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Annotated[Shell, Argument(metavar="SHELL", help="bash, zsh or fish")]) -> None:
    """Print the completion script of SHELL on stdout.

    The script is static: a TAB never starts Python. Names of agents, variants and recipes are read
    from the files of the workspace.

      cortex completion bash > ~/.local/share/bash-completion/completions/cortex

      cortex completion zsh > ~/.zfunc/_cortex

      cortex completion fish > ~/.config/fish/completions/cortex.fish
    """
    from cortex_cli.cli.completions import render_completion

    sys.stdout.write(render_completion(shell, walk_pages()))
