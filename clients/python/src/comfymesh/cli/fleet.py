"""Commands for operators that say what is wanted of nodes: cordon, uncordon, drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.options import with_session
from comfymesh.cli.text import one_line, short_name

if TYPE_CHECKING:
    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, Node

_LOOK_SECONDS = 0.5

_CORDON_HELP = """Have a node take no new work. What it has goes on, also what only waits there.

That holds until `uncordon`, whatever is started again meanwhile.

\b
Examples:
  comfymesh cordon gpu-host-3
  comfymesh cordon gpu-host-3 --reason "fan is loud"
"""

_UNCORDON_HELP = """Have a node take work again.

\b
Examples:
  comfymesh uncordon gpu-host-3
"""

_DRAIN_HELP = """Have a node take no new work and hand back what has not begun there.

\b
Examples:
  comfymesh drain gpu-host-3
  comfymesh drain gpu-host-3 --wait && ssh gpu-host-3 reboot
"""

_REASON = click.option("--reason", default="", metavar="TEXT", help="Why, for whoever looks at the node later.")


@click.command(help=_CORDON_HELP, short_help="Have a node take no new work.")
@click.argument("node")
@_REASON
@with_session
def cordon(session: Session, node: str, reason: str) -> None:  # noqa: D103
    _show(session, session.call(lambda client: client.cordon_node(node, reason)))


@click.command(help=_UNCORDON_HELP, short_help="Have a node take work again.")
@click.argument("node")
@with_session
def uncordon(session: Session, node: str) -> None:  # noqa: D103
    _show(session, session.call(lambda client: client.uncordon_node(node)))


@click.command(help=_DRAIN_HELP, short_help="Have a node finish what it executes and take nothing more.")
@click.argument("node")
@_REASON
@click.option("--wait", is_flag=True, help="Return once the node holds nothing any more.")
@with_session
def drain(session: Session, node: str, reason: str, wait: bool) -> None:  # noqa: D103, FBT001
    async def drained(client: AsyncClient) -> Node:
        found = await client.drain_node(node, reason)
        while wait and found.held_attempts:
            await asyncio.sleep(_LOOK_SECONDS)
            found = next(each for each in await client.nodes() if each.name == found.name)
        return found

    _show(session, session.call(drained))


def _show(session: Session, node: Node) -> None:
    if session.as_json:
        click.echo(line(plain(node)))
    else:
        held = f", holds {node.held_attempts} attempts" if node.held_attempts else ""
        click.echo(f"{short_name(node.name)}: {one_line(node.wanted_availability.lower())}{held}")
