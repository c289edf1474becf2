"""Shows the pools of the fleet, and has instances load models ahead of work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comfymesh.cli.columns import PlainTable
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.listing import print_list
from comfymesh.cli.options import with_session
from comfymesh.cli.text import duration, one_line, short_name, size
from comfymesh.client import PreloadFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import Node, Pool

_POOLS_HELP = """Show the pools of the fleet: what each is, how many instances serve, and why no more of them run.

\b
Examples:
  comfymesh pools
  comfymesh pools flux --node gpu-host-3
  comfymesh pools --json
"""

_PRELOAD_HELP = """Have instances load models ahead of work.

Those that run load them once they have nothing to do, all others when they start, and again with each start. That holds
until other models are given for the same node, pool and instance, or --clear. `comfymesh models --resident` shows what
is in memory. FILE is a model as `comfymesh models` names it; LOADER:FILE has it loaded by another of the inputs shown
there.

\b
Examples:
  comfymesh preload --pool flux flux1-dev.safetensors
  comfymesh preload --node gpu-host-3 --instance comfyui-0 sdxl.safetensors vae.safetensors
  comfymesh preload --node gpu-host-3 UNETLoader.unet_name:flux1-dev.safetensors
  comfymesh preload --pool flux --clear
"""


@click.command(help=_POOLS_HELP, short_help="Show the pools of the fleet.")
@click.argument("pool", default="", metavar="[POOL]")
@click.option("--node", default="", metavar="NODE", help="Only pools of this node.")
@with_session
def pools(session: Session, pool: str, node: str) -> None:  # noqa: D103
    found = session.call(lambda client: client.pools(pool, node=node))
    print_list(session, found, pool_table, "No such pools; `comfymesh nodes` shows instances that belong to none.")


@click.command(help=_PRELOAD_HELP, short_help="Have instances load models ahead of work.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--node", default="", metavar="NODE", help="Only instances of this node.")
@click.option("--pool", default="", metavar="POOL", help="Only instances of this pool; without --node, wherever it is.")
@click.option("--instance", default="", metavar="NAME", help="Only this instance of the node.")
@click.option("--clear", is_flag=True, help="Load nothing ahead any more; what is in memory stays there.")
@click.option("--check", is_flag=True, help="Check everything, change nothing.")
@with_session
def preload(  # noqa: D103
    session: Session,
    /,
    *,
    files: Sequence[str],
    node: str,
    pool: str,
    instance: str,
    clear: bool,
    check: bool,
) -> None:
    if bool(files) == clear:
        raise click.UsageError("Name the files to load, or say --clear.")
    wanted = [_file(text) for text in files]
    asked = session.call(
        lambda client: client.preload_models(wanted, node=node, pool=pool, instance=instance, validate_only=check)
    )
    for each in asked:
        click.echo(line(plain(each)) if session.as_json else _sentence(each, check=check))


def pool_table(found: Sequence[Pool]) -> PlainTable:
    """Pools, a line each."""
    table = PlainTable("NODE", "POOL", "RUNS", "SERVE", "GPUS", "MEMORY", "IDLE", "IMAGE", "WHY NO MORE")
    for pool in found:
        node = pool.name.split("/")[1]
        table.add_row(
            one_line(node),
            one_line(short_name(pool.name)),
            "-" if pool.max is None else f"{pool.min} to {pool.max}",
            f"{pool.serving_count} of {len(pool.instances)}",
            str(len(pool.gpu_uuids)) if pool.gpu_uuids else "-",
            size(pool.memory_bytes) if pool.memory_bytes else "-",
            duration(pool.idle_time.total_seconds()) if pool.idle_time else "-",
            one_line(pool.image) or one_line(pool.runtime),
            one_line(pool.limit_reason) or "-",
        )
    return table


def _file(text: str) -> PreloadFile:
    """`LOADER:FILE`, where what is before the colon can be a loader; else a file whose name may have colons."""
    loader, colon, name = text.partition(":")
    return PreloadFile(name, loader) if colon and name and "." in loader and "/" not in loader else PreloadFile(text)


def _sentence(node: Node, *, check: bool) -> str:
    if check:
        return f"{short_name(node.name)}: can do that"
    files = sorted({one_line(file.name) for preload in node.preloads for file in preload.files})
    return f"{short_name(node.name)}: loads {', '.join(files) if files else 'nothing'} ahead of work"
