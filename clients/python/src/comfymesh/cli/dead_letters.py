"""Commands for tasks that have failed: dead-letters list, show, requeue and drop."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from comfymesh.cli.arguments import parse_labels
from comfymesh.cli.complaints import complain
from comfymesh.cli.jsonlines import error_json, line, plain
from comfymesh.cli.listing import at_most, limited, page_size, print_list
from comfymesh.cli.options import with_session
from comfymesh.cli.outcomes import exit_code
from comfymesh.cli.tables import dead_letter_details, dead_letter_table
from comfymesh.cli.text import short_name
from comfymesh.client import ComfyMeshError, DeadLetterOptions, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from comfymesh.cli.session import Session

F = TypeVar("F", bound="Callable[..., Any]")

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_TIME = "2026-03-01T14:00, your own time unless it ends with a zone such as +02:00"

_GROUP_HELP = """See to tasks that have failed. Each is a dead letter until somebody requeues or drops it.

\b
Examples:
  comfymesh dead-letters list
  comfymesh dead-letters show t-4f1c
  comfymesh dead-letters requeue --reason OUT_OF_MEMORY
"""

_LIST_HELP = """List dead letters, the task that was created last first.

\b
Examples:
  comfymesh dead-letters list
  comfymesh dead-letters list --reason OUT_OF_MEMORY --label project=lamps
  comfymesh dead-letters list --failed-after 2026-03-01T14:00 --resolved --json
"""

_SHOW_HELP = """Show a dead letter with all the evidence: each attempt, the traceback, the instance's last words.

\b
Examples:
  comfymesh dead-letters show t-4f1c
  comfymesh dead-letters show t-4f1c --json
"""

_RULES = """Name the tasks, or say which ones are meant by reason, label, group or time, or --all.

\b
Exit codes:
  0    done
  2    wrong usage, or one of them was refused; the others are done
  4    the server can't be reached or can't serve at present"""

_REQUEUE_HELP = f"""Make a new task of each: the same graph, inputs and settings. Prints its name.

Requeueing again is safe: one dead letter makes one task.

\b
Examples:
  comfymesh dead-letters requeue t-4f1c t-77aa
  comfymesh dead-letters requeue --reason OUT_OF_MEMORY --group lamps
  comfymesh dead-letters requeue --all

{_RULES}
"""

_DROP_HELP = f"""Note of each that nothing more is to be done about it. The tasks stay as they are.

\b
Examples:
  comfymesh dead-letters drop t-4f1c
  comfymesh dead-letters drop --failed-before 2026-03-01

{_RULES}
"""


def choice(command: F) -> F:
    """Adds the options that choose dead letters, handed over as `options`."""

    @click.option("--reason", "reasons", multiple=True, metavar="REASON", help="Only for this reason; can be repeated.")
    @click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only with this label.")
    @click.option("--group", default="", metavar="NAME", help="Only of this group.")
    @click.option(
        "--failed-after", type=click.DateTime(_TIMES), metavar="TIME", help=f"Only failed then or later: {_TIME}."
    )
    @click.option("--failed-before", type=click.DateTime(_TIMES), metavar="TIME", help=f"Only failed earlier: {_TIME}.")
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as click hands them over
        names = ("reasons", "labels", "group", "failed_after", "failed_before")
        return command(*args, options=_options({name: kwargs.pop(name) for name in names}), **kwargs)

    return wrapped  # type: ignore[return-value]  # click calls it by keywords


@click.group("dead-letters", help=_GROUP_HELP, short_help="See to tasks that have failed.")
def dead_letters() -> None:  # noqa: D103
    pass


@dead_letters.command("list", help=_LIST_HELP, short_help="List them.")
@choice
@click.option("--resolved", is_flag=True, help="Those that were requeued or dropped as well.")
@limited
@with_session
def list_dead_letters(session: Session, options: DeadLetterOptions, resolved: bool, limit: int) -> None:  # noqa: D103, FBT001
    size = page_size(limit)
    found = session.call(
        lambda client: at_most(limit, client.dead_letters(include_resolved=resolved, page_size=size, **options))
    )
    print_list(session, found, functools.partial(dead_letter_table, now=datetime.now(UTC)), "No such dead letters.")


@dead_letters.command(help=_SHOW_HELP, short_help="Show one with all the evidence.")
@click.argument("task")
@with_session
def show(session: Session, task: str) -> None:  # noqa: D103
    found = session.call(lambda client: client.dead_letter(task))
    if session.as_json:
        click.echo(line(plain(found)))
    else:
        session.show(dead_letter_details(found, datetime.now(UTC)))


@dead_letters.command(help=_REQUEUE_HELP, short_help="Make a new task of each.")
@click.argument("tasks", nargs=-1, metavar="[TASK...]")
@choice
@click.option("--all", "everything", is_flag=True, help="All there are.")
@with_session
def requeue(session: Session, tasks: Sequence[str], options: DeadLetterOptions, everything: bool) -> None:  # noqa: D103, FBT001
    chosen = _chosen(tasks, options, everything=everything)
    _print(session, session.call(lambda client: client.requeue(*tasks, **chosen)), "requeued as {}")


@dead_letters.command(help=_DROP_HELP, short_help="Note that nothing more is to be done.")
@click.argument("tasks", nargs=-1, metavar="[TASK...]")
@choice
@click.option("--all", "everything", is_flag=True, help="All there are.")
@with_session
def drop(session: Session, tasks: Sequence[str], options: DeadLetterOptions, everything: bool) -> None:  # noqa: D103, FBT001
    chosen = _chosen(tasks, options, everything=everything)
    _print(session, session.call(lambda client: client.drop(*tasks, **chosen)), "dropped")


def _chosen(tasks: Sequence[str], options: DeadLetterOptions, *, everything: bool) -> DeadLetterOptions:
    """Which ones are meant; refuses what is not said clearly, since it can't be taken back."""
    if bool(tasks) + bool(options) + everything != 1:
        raise click.UsageError("name tasks, or choose by --reason, --label, --group or time, or say --all.")
    return DeadLetterOptions(failed_before=datetime.now(UTC)) if everything else options


def _options(said: Mapping[str, Any]) -> DeadLetterOptions:
    options = DeadLetterOptions()
    if said["reasons"]:
        options["reasons"] = said["reasons"]
    if said["labels"]:
        options["labels"] = parse_labels(said["labels"])
    if said["group"]:
        options["group"] = said["group"]
    # A time without a zone is the user's own.
    if said["failed_after"]:
        options["failed_after"] = said["failed_after"].astimezone(UTC)
    if said["failed_before"]:
        options["failed_before"] = said["failed_before"].astimezone(UTC)
    return options


def _print(session: Session, outcomes: Mapping[str, Task | ComfyMeshError], words: str) -> None:
    """Prints what became of each; ends with the worst exit code."""
    errors: list[ComfyMeshError] = []
    for name, outcome in outcomes.items():
        if isinstance(outcome, ComfyMeshError):
            errors.append(outcome)
        if session.as_json:
            what = error_json(outcome) if isinstance(outcome, ComfyMeshError) else {"task": plain(outcome)}
            click.echo(line({"dead_letter": name, **what}))
        elif isinstance(outcome, Task):
            click.echo(f"{short_name(name)}: {words.format(short_name(outcome.name))}")
        else:
            complain(session, outcome)
    if not outcomes and not session.as_json:
        click.echo("No such dead letters.", err=True)
    if errors:
        raise click.exceptions.Exit(max(exit_code(error) for error in errors))
