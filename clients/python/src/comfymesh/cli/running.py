"""Commands that create and follow tasks: run, submit, watch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfymesh.cli.following import follow
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.options import read_task, task_options, with_session
from comfymesh.cli.outcomes import EXIT_CODES_HELP
from comfymesh.cli.terminals import AUTO, MODES
from comfymesh.cli.text import short_name

if TYPE_CHECKING:
    from comfymesh.cli.session import Session

_OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Directory to save the files into. Existing files are kept; new ones get a number.",
)

_PREVIEW = click.option(
    "--preview",
    type=click.Choice(MODES),
    default=AUTO,
    envvar="COMFYMESH_PREVIEW",
    help="How to show the work in progress in a terminal; auto finds out what it can.  [env: COMFYMESH_PREVIEW]",
)

_RUN_HELP = f"""Run a graph or a stored workflow, and save what it makes.

GRAPH.json is a ComfyUI graph in API format (in ComfyUI: Workflow > Export (API)); - reads it from standard input.
WORKFLOW is the name of a stored one, such as portrait, or portrait@3 for a version; a file of that name goes first.
Shows the place in the queue, the progress of the whole graph and of the graph node under way, and the picture as it
comes into being. Ctrl-C asks whether to cancel the task or to let it go on.

\b
Examples:
  comfymesh run graph.json
  comfymesh run graph.json --set 6.text="a lighthouse at dawn" --set 3.seed=42
  comfymesh run img2img.json --input 1.image=@photo.png --out pictures
  comfymesh run portrait --input prompt="a lighthouse at dawn" --input image=@photo.png
  generate-graph | comfymesh run - --json

{EXIT_CODES_HELP}"""

_SUBMIT_HELP = """Create a task and return at once. Prints its name.

\b
Examples:
  comfymesh submit graph.json --set 3.seed=42
  comfymesh submit portrait --input prompt="a lighthouse at dawn"
  comfymesh watch "$(comfymesh submit graph.json)" --out out
"""

_WATCH_HELP = f"""Follow a task to its end. Shows what `run` shows.

With --out its files are saved as well, also when it has ended long ago.

\b
Examples:
  comfymesh watch t-4f1c
  comfymesh watch t-4f1c --out out

{EXIT_CODES_HELP}"""


@click.command(help=_RUN_HELP, short_help="Run a graph or a workflow and save what it makes.")
@task_options
@_OUT
@_PREVIEW
@click.option("--detach", is_flag=True, help="Create the task and return at once, as `submit` does.")
@with_session
def run(session: Session, /, out: Path, preview: str, detach: bool, **options: Any) -> None:  # noqa: ANN401, FBT001, D103
    if detach:
        create(session, options)
        return
    graph, inputs, said = read_task(session, options)
    follow(session, lambda client, listening: client.run(graph, inputs, **listening, **said), out, preview)


@click.command(help=_SUBMIT_HELP, short_help="Create a task and return at once.")
@task_options
@with_session
def submit(session: Session, /, **options: Any) -> None:  # noqa: ANN401, D103
    create(session, options)


@click.command(help=_WATCH_HELP, short_help="Follow a task to its end.")
@click.argument("task")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory to save the files into; default: they are not saved.",
)
@_PREVIEW
@with_session
def watch(session: Session, task: str, out: Path | None, preview: str) -> None:  # noqa: D103
    follow(session, lambda client, listening: client.result(task, **listening), out, preview)


def create(session: Session, options: dict[str, Any]) -> None:
    """Creates a task and prints its name.

    Args:
        session: The session.
        options: Values of `task_options`.
    """
    graph, inputs, said = read_task(session, options)
    task = session.call(lambda client: client.create(graph, inputs, **said))
    click.echo(line(plain(task)) if session.as_json else short_name(task.name))
