"""A live view of the fleet and its queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from comfymesh.cli.columns import Folded
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.options import with_session
from comfymesh.cli.scheduling_tables import queue_table
from comfymesh.cli.tables import node_table
from comfymesh.cli.text import clean, one_line
from comfymesh.client import AccessDenied, ComfyMeshError, InstanceState, NodeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, Node, Queue

_HELP = """Watch the fleet and its queue, until Ctrl-C. Where nobody looks on, it prints one picture.

The queue is for operators; others see the nodes alone.

\b
Examples:
  comfymesh top
  comfymesh top --interval 10
  comfymesh top --once --json
"""

_ALIVE = {InstanceState.READY, InstanceState.BUSY}


@dataclass(frozen=True, slots=True)
class Picture:
    """What was seen at a moment.

    Attributes:
        time: When.
        nodes: The nodes.
        queue: The queue; None where it could not be had.
        trouble: Why something could not be had; empty where nothing is wrong.
    """

    time: datetime
    nodes: Sequence[Node] = ()
    queue: Queue | None = None
    trouble: str = ""


@click.command(help=_HELP, short_help="Watch the fleet and its queue.")
@click.option(
    "--interval", type=click.FloatRange(min=0.2), default=2.0, show_default=True, metavar="SECONDS", help="How often."
)
@click.option("--once", is_flag=True, help="Print one picture and end.")
@with_session
def top(session: Session, interval: float, once: bool) -> None:  # noqa: D103, FBT001
    if (session.live or session.as_json) and not once:
        show = _print_lines if session.as_json else _watch
        # Ctrl-C is how it ends: nothing was interrupted.
        with suppress(KeyboardInterrupt):
            session.call(lambda client: show(session, client, interval))
    else:
        picture = session.call(_look)
        if session.as_json:
            click.echo(line(plain(picture)))
        else:
            session.show(render(picture, session.target))


def render(picture: Picture, target: str) -> RenderableType:
    """The whole view."""
    parts: list[RenderableType] = [headline(picture, target), Text()]
    if picture.nodes:
        parts += [node_table(picture.nodes, picture.time), Text()]
    if picture.queue is not None:
        parts.append(queue_table(picture.queue, picture.time))
    if picture.trouble:
        parts.append(Text(picture.trouble, style="yellow"))
    return Group(*parts)


def headline(picture: Picture, target: str) -> Text:
    """The fleet and the queue in one line."""
    active = sum(node.state is NodeState.ACTIVE for node in picture.nodes)
    states = Counter(instance.state for node in picture.nodes for instance in node.instances)
    other = sum(count for state, count in states.items() if state not in _ALIVE)
    words = [
        f"{active} of {len(picture.nodes)} nodes active",
        f"instances: {states[InstanceState.BUSY]} busy, {states[InstanceState.READY]} ready, {other} other",
    ]
    if picture.queue is not None:
        words.append(f"tasks: {picture.queue.total.waiting_count} waiting, {picture.queue.total.running_count} running")
    text = Text(f"{one_line(target)}  {picture.time.astimezone():%H:%M:%S}", style="dim")
    return text.append("   " + "   ".join(words), style="bold not dim")


async def _look(client: AsyncClient) -> Picture:
    nodes = await client.nodes()
    try:
        queue, trouble = await client.queue(), ""
    except AccessDenied:
        queue, trouble = None, "The queue is for operators: a key with the scope `operate` shows it."
    except ComfyMeshError as error:
        queue, trouble = None, f"The queue can't be had: {clean(error.message)}"
    return Picture(datetime.now(UTC), nodes, queue, trouble)


async def _watch(session: Session, client: AsyncClient, interval: float) -> None:
    console = session.console
    picture = await _look(client)
    with Live(Folded(render(picture, session.target)), console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(Folded(render(picture, session.target)), refresh=True)
            await asyncio.sleep(interval)
            picture = await _look_again(client, picture)


async def _look_again(client: AsyncClient, last: Picture) -> Picture:
    """A new picture; the last one and what is wrong, where the server can't be asked."""
    try:
        return await _look(client)
    except ComfyMeshError as error:
        return Picture(datetime.now(UTC), last.nodes, last.queue, f"This is old: {clean(error.message)}")


async def _print_lines(_: Session, client: AsyncClient, interval: float) -> None:
    while True:
        click.echo(line(plain(await _look(client))))
        await asyncio.sleep(interval)
