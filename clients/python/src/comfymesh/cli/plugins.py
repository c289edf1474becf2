"""Commands of other distributions, found through the entry-point group `comfymesh.commands`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import click

from comfymesh.cli.complaints import complain
from comfymesh.cli.outcomes import ExitCode, exit_code
from comfymesh.cli.session import Session
from comfymesh.client import ComfyMeshError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "comfymesh.commands"


class CommandLine(click.Group):
    """The group of all commands. Its own come first; a plugin that can't be loaded spoils no other command."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Own commands in the order of their definition, then those of plugins."""
        own = list(self.commands)
        return own + sorted(name for name in _plugins() if name not in own)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """A command; plugins are loaded only when they are asked for."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        plugin = _plugins().get(cmd_name)
        return None if plugin is None else _load(plugin)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the options before a command; of one that goes after it, says so."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            option = error.option_name
            having = [name for name, command in self.commands.items() if _has(command, option)]
            if not having:
                raise
            text = f"No such option {option!r}. It goes after the command, as in `comfymesh {having[0]} {option}`."
            raise click.NoSuchOption(option, text, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        """Runs a command; what goes wrong ends as a message and an exit code, not as a traceback."""
        try:
            return super().invoke(ctx)
        except ComfyMeshError as error:
            complain(ctx.ensure_object(Session), error)
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(ExitCode.INTERRUPTED)


def _has(command: click.Command, option: str) -> bool:
    return any(option in parameter.opts for parameter in command.params)


def _plugins() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group=GROUP)}


def _load(plugin: EntryPoint) -> click.Command:
    try:
        command = plugin.load()
    # Supervised edge: code of another distribution may fail in any way while it is imported, exiting included.
    except (Exception, SystemExit) as error:
        return _unusable(plugin, f"{type(error).__name__}: {error}")
    if not isinstance(command, click.Command):
        return _unusable(plugin, f"{plugin.value} is no command")
    return command


def _unusable(plugin: EntryPoint, why: str) -> click.Command:
    """A command that stands in for a broken one and says so."""
    origin = plugin.dist.name if plugin.dist is not None else plugin.value

    def refuse() -> None:
        raise click.ClickException(
            f"The command {plugin.name!r} of {origin} can't be loaded ({why}). "
            "Reinstall that distribution, or remove it."
        )

    return click.Command(
        plugin.name,
        callback=refuse,
        short_help=f"(can't be loaded: {why})",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )
