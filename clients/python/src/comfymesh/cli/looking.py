"""Commands that look at tasks and the fleet, and stop tasks: list, get, cancel, nodes."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from comfymesh.cli.arguments import parse_labels
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.listing import at_most, limited, page_size, print_list
from comfymesh.cli.options import with_session
from comfymesh.cli.tables import node_table, task_details, task_table
from comfymesh.cli.text import one_line, short_name
from comfymesh.cli.view import state_sentence, title
from comfymesh.client import TaskChanged, TaskState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, Task, TasksEvent

_STATES = [state.value.lower() for state in TaskState if state is not TaskState.UNKNOWN]

_LIST_HELP = """List tasks, newest first.

\b
Examples:
  comfymesh list
  comfymesh list --state running --state queued
  comfymesh list --label project=lamps --limit 500 --json
  comfymesh list --group lamps --watch
"""

_GET_HELP = """Show all about a task: state, place, artifacts, and why it failed.

\b
Examples:
  comfymesh get t-4f1c
  comfymesh get tasks/t-4f1c --json
"""

_CANCEL_HELP = """Ask for tasks to be stopped. Returns at once; `watch` shows when they have stopped.

\b
Examples:
  comfymesh cancel t-4f1c
  comfymesh cancel t-4f1c t-77aa --reason "wrong prompt"
"""

_NODES_HELP = """Show the nodes of the fleet and their ComfyUI instances.

\b
Examples:
  comfymesh nodes
  comfymesh nodes --json
"""


@click.command("list", help=_LIST_HELP, short_help="List tasks, newest first.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_STATES, case_sensitive=False),
    metavar="STATE",
    help=f"Only tasks in this state; can be repeated. One of {', '.join(_STATES)}.",
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only tasks with this label.")
@click.option("--group", default="", metavar="NAME", help="Only tasks of this group.")
@click.option("--workflow", default="", metavar="NAME", help="Only tasks of this workflow; NAME@3 for a version.")
@click.option("--watch", "follow", is_flag=True, help="Then print a line for each change, until Ctrl-C.")
@limited
@with_session
def list_tasks(  # noqa: D103
    session: Session,
    /,
    *,
    states: Sequence[str],
    labels: Sequence[str],
    group: str,
    workflow: str,
    follow: bool,
    limit: int,
) -> None:
    wanted = [TaskState(state.upper()) for state in states]
    tagged = parse_labels(labels)
    if follow:
        session.call(
            lambda client: _print_changes(
                session,
                client.watch_tasks(states=wanted, labels=tagged, group=group, workflow=workflow, include_existing=True),
            )
        )
        return

    size = page_size(limit)
    tasks = session.call(
        lambda client: at_most(
            limit, client.list(states=wanted, labels=tagged, group=group, workflow=workflow, page_size=size)
        )
    )
    print_list(session, tasks, partial(task_table, now=datetime.now(UTC)), "No such tasks.")


@click.command(help=_GET_HELP, short_help="Show all about a task.")
@click.argument("task")
@with_session
def get(session: Session, task: str) -> None:  # noqa: D103
    found = session.call(lambda client: client.get(task))
    if session.as_json:
        click.echo(line(plain(found)))
    else:
        session.show(task_details(found, datetime.now(UTC)))


@click.command(help=_CANCEL_HELP, short_help="Ask for tasks to be stopped.")
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the task.")
@with_session
def cancel(session: Session, tasks: Sequence[str], reason: str) -> None:  # noqa: D103
    async def stop(client: AsyncClient) -> list[Task]:
        return [await client.cancel(task, reason) for task in tasks]

    for task in session.call(stop):
        if session.as_json:
            click.echo(line(plain(task)))
        else:
            click.echo(f"{short_name(task.name)}: {one_line(task.state.lower())}")


@click.command(help=_NODES_HELP, short_help="Show the nodes of the fleet.")
@with_session
def nodes(session: Session) -> None:  # noqa: D103
    found = session.call(lambda client: client.nodes())
    print_list(
        session, found, partial(node_table, now=datetime.now(UTC)), "The fleet has no nodes: no agent has reported yet."
    )


async def _print_changes(session: Session, events: AsyncGenerator[TasksEvent]) -> None:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TaskChanged):
                task = event.task
                click.echo(line(plain(task)) if session.as_json else f"{title(task)}: {state_sentence(task)}")
