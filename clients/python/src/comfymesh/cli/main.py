"""Entry point of the command line `comfymesh`."""

from __future__ import annotations

import errno
import io
import sys

import click

from comfymesh.cli import (
    administration,
    alerts,
    asset_commands,
    completion,
    context_commands,
    dead_letters,
    doctor,
    fleet,
    grouping,
    key_commands,
    looking,
    model_commands,
    pool_commands,
    running,
    scheduling,
    top,
    usage,
    workflows,
)
from comfymesh.cli.credentials import credentials
from comfymesh.cli.options import TARGET_HELP
from comfymesh.cli.outcomes import EXIT_CODES_HELP, ExitCode
from comfymesh.cli.plugins import CommandLine
from comfymesh.cli.session import Session
from comfymesh.client import DEFAULT_TARGET

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What says that standard output takes nothing more. A pipe whose reader has gone (EPIPE) is ended quietly by click."""

_HELP = f"""Run ComfyUI graphs on a fleet of GPU hosts.

\b
Examples:
  comfymesh run graph.json --set 6.text="a lighthouse at dawn"
  comfymesh run portrait --input prompt="a lighthouse at dawn"
  comfymesh batch sheet.jsonl --group lamps --watch
  comfymesh list --state running
  comfymesh --target mesh.example:7700 nodes

Every command has more: comfymesh COMMAND --help.

{EXIT_CODES_HELP}"""


@click.group(cls=CommandLine, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", envvar="COMFYMESH_TARGET", default=DEFAULT_TARGET, metavar="HOST:PORT", help=TARGET_HELP)
@context_commands.context_option
@click.version_option(package_name="comfymesh", prog_name="comfymesh")
@credentials
def cli(ctx: click.Context, target: str) -> None:  # noqa: D103 - the help text is above
    ctx.ensure_object(Session).target = target


for command in (
    running.run,
    running.submit,
    running.watch,
    looking.list_tasks,
    looking.get,
    looking.cancel,
    looking.nodes,
    fleet.cordon,
    fleet.uncordon,
    fleet.drain,
    model_commands.models,
    pool_commands.pools,
    pool_commands.preload,
    top.top,
    grouping.batch,
    grouping.group,
    dead_letters.dead_letters,
    asset_commands.assets,
    alerts.alerts,
    workflows.workflows,
    scheduling.policy,
    scheduling.queue,
    key_commands.keys,
    administration.quota,
    administration.tenants,
    administration.audit,
    usage.usage,
    doctor.doctor,
    context_commands.context,
    completion.completion,
):
    cli.add_command(command)


def main() -> None:
    """Runs the command line. What an encoding of the terminal has no sign for becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        cli(prog_name="comfymesh")
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        click.echo(f"Error: the output can't be written: {error.strerror}", err=True)
        sys.exit(ExitCode.FAILED)
