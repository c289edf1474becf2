"""Tells the user what went wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from comfymesh.cli.jsonlines import error_json, line
from comfymesh.cli.session import error_console
from comfymesh.cli.text import clean, duration, one_line, short_name
from comfymesh.client import TaskCancelled, TaskExpired, TaskFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import ComfyMeshError, Violation

_ADVICE = {
    "SERVER_UNREACHABLE": "start a mesh with `comfymesh dev`, or name the server with --target or COMFYMESH_TARGET.",
    "INVALID_WORKFLOW": "correct these inputs in the graph, or override them with --set.",
    "INPUT_INVALID": "correct these values; `comfymesh run --help` shows how inputs are written.",
    "PARTIAL_OUTPUTS": "correct the graph, or run its valid outputs alone with --allow-partial-outputs.",
    "TASK_NOT_FOUND": "`comfymesh list` shows the tasks there are.",
    "NODE_NOT_FOUND": "`comfymesh nodes` shows the nodes there are.",
    "TENANT_NOT_FOUND": "`comfymesh tenants list` shows the tenants there are.",
    "ALERT_CHANNEL_NOT_FOUND": "`comfymesh alerts channels` shows the channels there are.",
    "ASSET_NOT_FOUND": "`comfymesh assets list` shows the assets there are.",
    "SIGNED_URL_UNSUPPORTED": "save it with `comfymesh assets download`.",
    "STORE_FULL": "tell whoever operates the mesh; files that were sent in part go on where they were.",
    "TASK_NOT_FAILED": "`comfymesh dead-letters list` shows the tasks that have failed.",
    "WORKFLOW_NOT_FOUND": "`comfymesh workflows list` shows the workflows there are.",
    "WORKFLOW_ALREADY_EXISTS": "`comfymesh workflows update` changes it.",
    "GROUP_NOT_FOUND": "a group is there once its first task is; `comfymesh list --group NAME` shows its tasks.",
    "NO_FEASIBLE_NODE": "`comfymesh nodes` shows the fleet; install what is missing on one of its nodes.",
    "REQUEST_ID_REUSED": "leave the request ID out to create another task.",
    "BUS_UNAVAILABLE": "try again in a moment; nothing was promised.",
    "SERVER_DRAINING": "try again in a moment.",
}


def complain(session: Session, error: ComfyMeshError) -> None:
    """Prints an error on standard error: message, reason, each violation, what to do."""
    if session.as_json:
        click.echo(line(error_json(error)), err=True)
        return
    text = _headline(error)
    for violation in _untold(error):
        text.append(f"\n  {one_line(violation.field)}: ", "yellow").append(one_line(violation.description))
    for fact, value in sorted(_facts(error).items()):
        text.append(f"\n  {one_line(fact)}: ", "yellow").append(one_line(value))
    advice = advise(error)
    if advice:
        text.append("\nWhat to do: ", "bold").append(advice)
    console = error_console()
    console.print(text, soft_wrap=not console.is_terminal)


def advise(error: ComfyMeshError) -> str:
    """What the user can do, or an empty text when the message has said it all."""
    if error.retry_after is not None:
        return f"try again in {duration(error.retry_after.total_seconds())}."
    if isinstance(error, (TaskCancelled, TaskExpired)):
        return ""
    if isinstance(error, TaskFailed):
        return _advise_on_failure(error)
    if error.reason == "INPUT_INVALID" and not any(each.field.startswith("task.inputs") for each in error.violations):
        return ""
    return _ADVICE.get(error.reason, "")


def _untold(error: ComfyMeshError) -> Sequence[Violation]:
    """The violations, unless the message says as much, or each says what the message does."""
    told = all(each.description in error.message or error.message in each.description for each in error.violations)
    return () if told else error.violations


def _headline(error: ComfyMeshError) -> Text:
    if isinstance(error, (TaskCancelled, TaskExpired)):
        return Text(clean(error.message), style="yellow")
    return Text.assemble(("Error: ", "bold red"), clean(error.message), (f" ({one_line(error.reason)})", "dim"))


def _advise_on_failure(error: TaskFailed) -> str:
    found = error.task.error
    parts = []
    if found is not None and found.reason == "MISSING_DEPENDENCY":
        parts.append("bring files with --input NODE.INPUT=@FILE; what else the graph names has to be on a node.")
    if found is not None and found.retryable:
        parts.append("run it again; this kind of failure may well pass.")
    if found is not None and found.traceback:
        parts.append(f"`comfymesh get {short_name(error.task.name)}` shows ComfyUI's traceback.")
    return " ".join(parts)


def _facts(error: ComfyMeshError) -> dict[str, str]:
    """The facts that the message is not sure to hold: why a task failed, and what each node lacks."""
    wanted = isinstance(error, TaskFailed) or error.reason == "NO_FEASIBLE_NODE"
    return error.metadata if wanted else {}
