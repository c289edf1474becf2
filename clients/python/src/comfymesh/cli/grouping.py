"""Commands for many tasks: batch, and group show, watch and cancel."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfymesh.cli.complaints import complain
from comfymesh.cli.jsonlines import error_json, line, plain
from comfymesh.cli.options import with_session
from comfymesh.cli.outcomes import EXIT_CODES_HELP, ExitCode, exit_code
from comfymesh.cli.sheets import read_sheet
from comfymesh.cli.tables import group_details
from comfymesh.cli.text import percent, short_name
from comfymesh.cli.view import state_sentence, title
from comfymesh.client import ComfyMeshError, GroupChanged, Task, TaskChanged, TaskState
from comfymesh.client.graphs import decode_graph, file_unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, Group, GroupEvent

_BATCH_HELP = """Create many tasks and return at once. Prints their names.

SHEET.jsonl has one JSON object a line (- reads standard input), with any of: graph (a file's name, the graph, or the
name of a stored workflow), inputs (by NODE.INPUT, or by the names that the workflow has; "@FILE" uploads a file),
display_name, priority, labels, group, execution_timeout and start_timeout (seconds), max_retries,
allow_partial_outputs, task_id, request_id. Each task is created or refused for itself.

\b
Examples:
  comfymesh batch sheet.jsonl --group lamps
  seq 100 | jq -c '{inputs: {"3.seed": .}}' | comfymesh batch - --graph graph.json --group sweep
  seq 100 | jq -c '{inputs: {seed: .}}' | comfymesh batch - --graph portrait@3 --group sweep
  comfymesh batch sheet.jsonl --group lamps --watch
  comfymesh batch sheet.jsonl --json

\b
Exit codes:
  0    every task was created (with --watch: and succeeded)
  1    with --watch: a task did not succeed
  2    wrong usage, or a task was refused
  4    the server can't be reached or can't serve at present
"""

_SHOW_HELP = """Show a group: how many tasks are in which state, and how far it is.

\b
Examples:
  comfymesh group show lamps
  comfymesh group show lamps --json
"""

_WATCH_HELP = f"""Follow a group until all its tasks have ended. One line for each change of a task.

\b
Examples:
  comfymesh group watch lamps
  comfymesh group watch lamps --tasks 100

{EXIT_CODES_HELP}"""

_CANCEL_HELP = """Ask for every task of a group that has not ended to be stopped. Returns at once.

\b
Examples:
  comfymesh group cancel lamps
  comfymesh group cancel lamps --reason "wrong prompt"
"""


@click.command(help=_BATCH_HELP, short_help="Create many tasks and return at once.")
@click.argument("sheet", metavar="SHEET.jsonl")
@click.option("--graph", metavar="GRAPH.json|WORKFLOW", help="Graph or stored workflow of the lines that have none.")
@click.option("--group", "name", default="", metavar="NAME", help="Group of the tasks that name none.")
@click.option("--check", is_flag=True, help="Check everything, create nothing.")
@click.option("--watch", "follow", is_flag=True, help="Follow the group to its end; needs --group.")
@with_session
def batch(session: Session, sheet: str, graph: str | None, name: str, check: bool, follow: bool) -> None:  # noqa: D103, FBT001
    if follow and (not name or check):
        raise click.UsageError("--watch follows the group that was created: give --group, and no --check.")
    tasks = read_sheet(_read(sheet), graph)
    found = session.call(lambda client: client.create_many(tasks, group=name, validate_only=check))
    refused = _print_outcomes(session, found)
    if follow and len(refused) < len(found):
        _follow(session, name, len(found) - len(refused))
    if refused:
        raise click.exceptions.Exit(max(exit_code(error) for error in refused))


@click.group("group", help="Look at, follow and cancel groups of tasks.", short_help="Work with groups of tasks.")
def group() -> None:  # noqa: D103
    pass


@group.command(help=_SHOW_HELP, short_help="Show a group.")
@click.argument("name")
@with_session
def show(session: Session, name: str) -> None:  # noqa: D103
    found = session.call(lambda client: client.group(name).get())
    if session.as_json:
        click.echo(line(plain(found)))
    else:
        session.show(group_details(found, datetime.now(UTC)))


@group.command(help=_WATCH_HELP, short_help="Follow a group to its end.")
@click.argument("name")
@click.option(
    "--tasks", "count", type=click.IntRange(min=0), default=0, metavar="N", help="How many tasks the group will have."
)
@with_session
def watch(session: Session, name: str, count: int) -> None:  # noqa: D103
    _follow(session, name, count)


@group.command("cancel", help=_CANCEL_HELP, short_help="Ask for all its tasks to be stopped.")
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the tasks.")
@with_session
def cancel_group(session: Session, name: str, reason: str) -> None:  # noqa: D103
    count = session.call(lambda client: client.group(name).cancel(reason))
    if session.as_json:
        click.echo(line({"group": name, "cancelled_count": count}))
    else:
        click.echo(f"{short_name(name)}: {count} {'task' if count == 1 else 'tasks'} cancelled")


def _read(sheet: str) -> str:
    if sheet == "-":
        return decode_graph(sys.stdin.buffer.read(), "Standard input")
    try:
        return decode_graph(Path(sheet).read_bytes(), sheet)
    except OSError as error:
        raise file_unreadable(Path(sheet), error) from error


def _print_outcomes(session: Session, found: Sequence[Task | ComfyMeshError]) -> list[ComfyMeshError]:
    """Prints what became of each task; answers the errors."""
    errors: list[ComfyMeshError] = []
    for number, outcome in enumerate(found, 1):
        if isinstance(outcome, Task):
            click.echo(line(plain(outcome)) if session.as_json else short_name(outcome.name))
            continue
        errors.append(outcome)
        if session.as_json:
            click.echo(line(error_json(outcome)))
        else:
            click.echo(f"Task {number} of {len(found)} was refused.", err=True)
            complain(session, outcome)
    return errors


def _follow(session: Session, name: str, count: int) -> None:
    lines = _Lines(as_json=session.as_json)

    async def main(client: AsyncClient) -> None:
        async with aclosing(client.group(name).watch(task_count=count)) as events:
            async for event in events:
                lines.tell(event)

    session.call(main)
    whole = lines.whole
    if whole is not None and whole.counts.get(TaskState.SUCCEEDED, 0) < whole.task_count:
        raise click.exceptions.Exit(ExitCode.FAILED)


class _Lines:
    """Prints the events of a group, and of the group itself when a tenth more is done."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._tenth = 0
        self.whole: Group | None = None

    def tell(self, event: GroupEvent) -> None:
        match event:
            case TaskChanged(task):
                self._print("task", task, f"{title(task)}: {state_sentence(task)}")
            case GroupChanged(group):
                self.whole = group
                tenth = int(group.fraction * 10 + 1e-9)
                if self._as_json or tenth != self._tenth:
                    self._tenth = tenth
                    self._print("group", group, summary(group))
            case _:
                pass

    def _print(self, kind: str, value: Task | Group, text: str) -> None:
        click.echo(line({"event": kind, kind: plain(value)}) if self._as_json else text)


def summary(group: Group) -> str:
    """A group in a line."""
    counts = ", ".join(f"{count} {state.lower()}" for state, count in group.counts.items())
    return f"{short_name(group.name)}: {percent(group.fraction)} of {group.task_count} tasks ({counts})"
