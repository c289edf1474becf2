"""Options that several commands share."""

from __future__ import annotations

import functools
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from comfymesh.cli.arguments import parse_inputs, parse_labels
from comfymesh.cli.session import Session
from comfymesh.cli.stored import read_inputs, stored
from comfymesh.client import Placement, TaskState
from comfymesh.client.graphs import decode_graph, graph_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfymesh.client import InputValue, TaskOptions, WorkflowRef

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")

TARGET_HELP = (
    "Address of the server, HOST:PORT; of several, with commas between."
    "  [env: COMFYMESH_TARGET; default: 127.0.0.1:7700]"
)


_TASK_OPTIONS = (
    click.argument("graph", metavar="GRAPH.json|WORKFLOW"),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="NODE.INPUT=VALUE",
        help="Set an input of a graph node. JSON numbers, true, false and quoted texts are taken as such, anything "
        "else as text.",
    ),
    click.option(
        "--input",
        "files",
        multiple=True,
        metavar="NODE.INPUT=@FILE|NAME=VALUE",
        help="Upload a file and set it as an input of a graph node; https://... has the node fetch it. Of a stored "
        "workflow: give one of its inputs, files likewise.",
    ),
    click.option("--name", metavar="TEXT", help="Name for people."),
    click.option("--priority", type=int, metavar="N", help="Higher runs first, -100 to 100."),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Write a label on the task."),
    click.option("--group", metavar="NAME", help="Group that the task belongs to."),
    click.option(
        "--execution-timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long one attempt may execute.",
    ),
    click.option(
        "--start-timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long it may wait for its first attempt to begin; default: for ever.",
    ),
    click.option("--max-retries", type=int, metavar="N", help="Tries again after failures of the graph itself."),
    click.option(
        "--allow-partial-outputs",
        is_flag=True,
        help="Run the valid outputs of a graph of which others are invalid.",
    ),
    click.option("--callback-url", metavar="URL", help="Is called (POST, signed) when the task ends."),
    click.option(
        "--callback-state",
        "callback_states",
        multiple=True,
        type=click.Choice([state.lower() for state in TaskState if state is not TaskState.UNKNOWN]),
        help="Call it in this state instead; may be given several times.",
    ),
    click.option(
        "--node-label", "node_labels", multiple=True, metavar="KEY=VALUE", help="Only on nodes with this label."
    ),
    click.option("--gpu-class", metavar="NAME", help="Only on this class of GPU, such as nvidia-l40s."),
    click.option(
        "--min-vram",
        type=click.FloatRange(min=0, max=1e6),
        metavar="GIB",
        help="Only on GPUs with so much memory.",
    ),
    click.option("--pool", metavar="NAME", help="Only on instances of this pool."),
    click.option("--task-id", metavar="ID", help="Last part of the task's name; default: the server chooses."),
)


def with_session(command: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Adds `--target`, `--connect-timeout` and `--json`, and hands the command the session that they describe."""

    @click.option("--target", metavar="HOST:PORT", help=TARGET_HELP)
    @click.option(
        "--connect-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="How long to try to reach it."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON lines, for machines.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        session = ctx.ensure_object(Session)
        session.target = str(kwargs.pop("target") or session.target)
        timeout = kwargs.pop("connect_timeout")
        if isinstance(timeout, float):
            session.connect_timeout = timeout
        session.as_json = bool(kwargs.pop("as_json"))
        return command(session, *args, **kwargs)

    return wrapped


def task_options(command: F) -> F:
    """Adds the graph and all that can be said about a task to create."""
    for decorate in reversed(_TASK_OPTIONS):
        command = decorate(command)
    return command


def read_task(
    session: Session, options: dict[str, Any]
) -> tuple[str | WorkflowRef, dict[str, InputValue], TaskOptions]:
    """The graph's text or the workflow, its inputs, and what else was said about the task.

    Args:
        session: Asks for the inputs of a workflow.
        options: Values of `task_options`.

    Raises:
        click.UsageError: `--set`, `--input` or `--label` can't be read.
        InvalidRequest: The graph can't be read.
    """
    said = read_options(options)
    workflow = stored(options["graph"])
    if workflow is None:
        inputs = parse_inputs(options["sets"], options["files"])
        return read_graph(options["graph"]), inputs, said
    if options["sets"]:
        raise click.UsageError("--set names graph nodes; a stored workflow has inputs: write --input NAME=VALUE.")
    return workflow, session.call(lambda client: read_inputs(client, workflow, options["files"])), said


def read_options(options: dict[str, Any]) -> TaskOptions:
    """What was said about the task, but what it runs.

    Raises:
        click.UsageError: It can't be read.
    """
    said: TaskOptions = {"allow_partial_outputs": options["allow_partial_outputs"]}
    if options["labels"]:
        said["labels"] = parse_labels(options["labels"])
    if options["name"]:
        said["display_name"] = options["name"]
    if options["group"]:
        said["group"] = options["group"]
    if options["priority"] is not None:
        said["priority"] = options["priority"]
    if options["execution_timeout"] is not None:
        said["execution_timeout"] = timedelta(seconds=options["execution_timeout"])
    if options["start_timeout"] is not None:
        said["start_timeout"] = timedelta(seconds=options["start_timeout"])
    if options["max_retries"] is not None:
        said["max_retries"] = options["max_retries"]
    said |= _callback(options)
    if any(options[name] for name in ("node_labels", "gpu_class", "min_vram", "pool")):
        said["placement"] = Placement(
            labels=parse_labels(options["node_labels"]),
            gpu_class=options["gpu_class"] or "",
            min_vram_bytes=_gib(options["min_vram"] or 0.0),
            pool=options["pool"] or "",
        )
    if options["task_id"]:
        said["task_id"] = options["task_id"]
    return said


def _gib(count: float) -> int:
    if not math.isfinite(count):
        raise click.UsageError("--min-vram must be a number of GiB.")
    return round(count * 2**30)


def _callback(options: dict[str, Any]) -> TaskOptions:
    said: TaskOptions = {}
    if options["callback_url"]:
        said["callback_url"] = options["callback_url"]
    if options["callback_states"]:
        said["callback_states"] = [TaskState(state.upper()) for state in options["callback_states"]]
    return said


def read_graph(path: str) -> str:
    """The text of a graph file, or of standard input for ``-``."""
    if path == "-":
        return decode_graph(sys.stdin.buffer.read(), "Standard input")
    return graph_text(Path(path))
