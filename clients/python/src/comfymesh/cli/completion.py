"""Prints what a shell needs to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HELP = """Print what a shell needs to complete commands, options and the names of contexts.

\b
Examples:
  comfymesh completion bash >> ~/.bashrc
  comfymesh completion zsh >> ~/.zshrc
  comfymesh completion fish > ~/.config/fish/completions/comfymesh.fish
"""

_NAME, _VARIABLE = "comfymesh", "_COMFYMESH_COMPLETE"


@click.command(help=_HELP, short_help="Print what a shell needs to complete commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:  # noqa: D103
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, _NAME, _VARIABLE).source())
