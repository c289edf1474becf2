"""Commands for stored workflows: create, get, list, update, delete, versions, validate, derive."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from comfymesh.cli.arguments import parse_labels
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.listing import print_list
from comfymesh.cli.options import read_graph, with_session
from comfymesh.cli.outcomes import ExitCode
from comfymesh.cli.stored import given_to, read_inputs, spec_json, specs_at, stored
from comfymesh.cli.workflow_tables import (
    input_table,
    review_text,
    version_table,
    workflow_details,
    workflow_table,
)
from comfymesh.client import Workflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import (
        AsyncClient,
        WorkflowChanges,
        WorkflowReview,
        WorkflowVersion,
    )

_HELP = """Store graphs with typed inputs under names, and look at them. `comfymesh run NAME` runs one.

\b
Examples:
  comfymesh workflows create portrait graph.json
  comfymesh run portrait --input prompt="a lighthouse at dawn"
  comfymesh workflows update portrait --graph better.json
  comfymesh workflows validate portrait
"""

_CREATE_HELP = """Store a graph in API format under a name. Its inputs are derived from it, unless they are given.

\b
Examples:
  comfymesh workflows create portrait graph.json
  comfymesh workflows create portrait graph.json --inputs inputs.json --name Portrait --label team=faces
  comfymesh workflows derive graph.json > inputs.json
  generate-graph | comfymesh workflows create portrait - --no-inputs
"""

_GET_HELP = """Show a workflow and its inputs; NAME@3 shows that version.

\b
Examples:
  comfymesh workflows get portrait
  comfymesh workflows get portrait@3 --json
  comfymesh workflows get portrait --graph > graph.json
"""

_LIST_HELP = """List workflows by name.

\b
Examples:
  comfymesh workflows list
  comfymesh workflows list --text portrait --label team=faces --json
"""

_UPDATE_HELP = """Change a workflow. A new graph, or new inputs, make a new version, which becomes the default one.

\b
Examples:
  comfymesh workflows update portrait --graph better.json
  comfymesh workflows update portrait --graph better.json --default-version 2
  comfymesh workflows update portrait --default-version 1
  comfymesh workflows update portrait --name "Portrait, soft light" --etag 17
"""

_DELETE_HELP = """Delete workflows, or single versions of them that no task was made of. Tasks that were made go on.

\b
Examples:
  comfymesh workflows delete portrait
  comfymesh workflows delete portrait --etag 17
  comfymesh workflows delete portrait@2
"""

_VERSIONS_HELP = """List the versions of a workflow, newest first.

\b
Examples:
  comfymesh workflows versions portrait
  comfymesh workflows versions portrait --json
"""

_VALIDATE_HELP = """Show everything that is wrong with a stored workflow, or a graph, as the fleet is now.

Also shows what ComfyUI would leave out or ignore without a word. Exits with 2 where there are errors.

\b
Examples:
  comfymesh workflows validate portrait
  comfymesh workflows validate portrait@3 --input image=@photo.png
  comfymesh workflows validate graph.json --inputs inputs.json --json
"""

_DERIVE_HELP = """Print the inputs that a graph could have, as JSON that `create --inputs` takes.

\b
Examples:
  comfymesh workflows derive graph.json > inputs.json
"""

_INPUTS = click.option(
    "--inputs", "specs", metavar="INPUTS.json", help="Its inputs, as `derive` prints them; - reads standard input."
)
_NAME = click.option("--name", "display_name", metavar="TEXT", help="Name for people.")
_DESCRIPTION = click.option("--description", metavar="TEXT", help="What it makes and how to use it.")
_LABEL = click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Write a label on it.")
_CHECK = click.option("--validate-only", is_flag=True, help="Check everything, store nothing.")
_ETAG = click.option("--etag", default="", metavar="ETAG", help="Only if it has not changed since `get` showed this.")


@click.group(help=_HELP, short_help="Store graphs with typed inputs under names.")
def workflows() -> None:  # noqa: D103
    pass


@workflows.command(help=_CREATE_HELP, short_help="Store one.")
@click.argument("workflow")
@click.argument("graph", metavar="GRAPH.json")
@_INPUTS
@click.option("--no-inputs", is_flag=True, help="It has none.")
@_NAME
@_DESCRIPTION
@_LABEL
@_CHECK
@with_session
def create(session: Session, /, *, workflow: str, graph: str, no_inputs: bool, **said: Any) -> None:  # noqa: ANN401, D103
    if no_inputs and said["specs"]:
        raise click.UsageError("Give --inputs or --no-inputs, not both.")
    text = read_graph(graph)
    inputs = [] if no_inputs else specs_at(said["specs"])
    made = session.call(
        lambda client: client.workflows.create(
            workflow,
            text,
            inputs=inputs,
            display_name=said["display_name"] or "",
            description=said["description"] or "",
            labels=parse_labels(said["labels"]),
            validate_only=said["validate_only"],
        )
    )
    _print(session, made)


@workflows.command(help=_GET_HELP, short_help="Show one.")
@click.argument("workflow")
@click.option("--graph", "graph_only", is_flag=True, help="Print its graph and nothing else.")
@with_session
def get(session: Session, workflow: str, graph_only: bool) -> None:  # noqa: D103, FBT001
    versioned = "@" in workflow or "/versions/" in workflow

    async def fetch(client: AsyncClient) -> Workflow | WorkflowVersion:
        return await (client.workflows.version if versioned else client.workflows.get)(workflow)

    found = session.call(fetch)
    if graph_only:
        click.echo(found.graph_json)
    else:
        _print(session, found)


@workflows.command("list", help=_LIST_HELP, short_help="List them.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only workflows with this label.")
@click.option("--text", default="", metavar="TEXT", help="Only workflows whose name or description holds this.")
@click.option("--deleted", is_flag=True, help="Deleted ones as well.")
@with_session
def list_workflows(session: Session, labels: Sequence[str], text: str, deleted: bool) -> None:  # noqa: D103, FBT001
    tagged = parse_labels(labels)

    async def fetch(client: AsyncClient) -> list[Workflow]:
        async with aclosing(client.workflows.list(labels=tagged, text=text, show_deleted=deleted)) as found:
            return [each async for each in found]

    found = session.call(fetch)
    print_list(session, found, partial(workflow_table, now=datetime.now(UTC)), "No workflows.")


@workflows.command(help=_UPDATE_HELP, short_help="Change one.")
@click.argument("workflow")
@click.option("--graph", metavar="GRAPH.json", help="Its new graph; - reads standard input.")
@_INPUTS
@click.option("--derive-inputs", is_flag=True, help="Derive its inputs anew from --graph.")
@click.option("--default-version", type=click.IntRange(min=0), metavar="N", help="What runs; 0 for the newest.")
@_NAME
@_DESCRIPTION
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Its labels, all of them.")
@click.option("--no-labels", is_flag=True, help="Take its labels away.")
@_ETAG
@_CHECK
@with_session
def update(  # noqa: D103
    session: Session,
    /,
    *,
    workflow: str,
    etag: str,
    derive_inputs: bool,
    validate_only: bool,
    **said: Any,  # noqa: ANN401
) -> None:
    changes = _changes(said)
    if derive_inputs and "graph" not in changes:
        raise click.UsageError("--derive-inputs needs --graph.")
    if not changes:
        raise click.UsageError("Say what to change: --graph, --inputs, --default-version, --name, ...")

    async def change(client: AsyncClient) -> Workflow:
        if derive_inputs:
            changes["inputs"] = await client.workflows.derive(changes["graph"])
        return await client.workflows.update(workflow, etag=etag, validate_only=validate_only, **changes)

    _print(session, session.call(change))


@workflows.command(help=_DELETE_HELP, short_help="Delete some.")
@click.argument("names", nargs=-1, required=True, metavar="WORKFLOW...")
@_ETAG
@with_session
def delete(session: Session, names: Sequence[str], etag: str) -> None:  # noqa: D103
    if etag and len(names) > 1:
        raise click.UsageError("--etag is of one workflow; name one.")
    if etag and "@" in names[0]:
        raise click.UsageError("A version has no etag: it never changes. Leave --etag out.")

    async def drop(client: AsyncClient) -> None:
        for name in names:
            if "@" in name or "/versions/" in name:
                await client.workflows.delete_version(name)
            else:
                await client.workflows.delete(name, etag=etag)

    session.call(drop)


@workflows.command(help=_VERSIONS_HELP, short_help="List the versions of one.")
@click.argument("workflow")
@with_session
def versions(session: Session, workflow: str) -> None:  # noqa: D103
    async def fetch(client: AsyncClient) -> tuple[int, list[WorkflowVersion]]:
        default = (await client.workflows.get(workflow)).default_version
        async with aclosing(client.workflows.versions(workflow)) as found:
            return default, [each async for each in found]

    default, found = session.call(fetch)
    if session.as_json:
        for each in found:
            click.echo(line(plain(each)))
    else:
        session.show(version_table(found, default, datetime.now(UTC)))


@workflows.command(help=_VALIDATE_HELP, short_help="Show what is wrong with one, or with a graph.")
@click.argument("subject", metavar="WORKFLOW|GRAPH.json")
@_INPUTS
@click.option(
    "--input", "given", multiple=True, metavar="NAME=VALUE", help="What a task would give; @FILE uploads a file."
)
@with_session
def validate(session: Session, subject: str, specs: str | None, given: Sequence[str]) -> None:  # noqa: D103
    name = stored(subject)
    if name is not None and specs:
        raise click.UsageError("--inputs is for graphs; a stored workflow has its own.")
    text = "" if name is not None else read_graph(subject)
    inputs = specs_at(specs) or []

    async def look(client: AsyncClient) -> WorkflowReview:
        if name is not None:
            return await client.workflows.validate(name.name, await read_inputs(client, name, given))
        return await client.workflows.validate_graph(text, inputs, given_to(inputs, given))

    review = session.call(look)
    if session.as_json:
        click.echo(line(plain(review)))
    else:
        session.console.print(review_text(review), soft_wrap=True)
    if review.errors:
        raise SystemExit(ExitCode.INVALID)


@workflows.command(help=_DERIVE_HELP, short_help="Print the inputs that a graph could have.")
@click.argument("graph", metavar="GRAPH.json")
@with_session
def derive(session: Session, graph: str) -> None:  # noqa: D103
    text = read_graph(graph)
    found = session.call(lambda client: client.workflows.derive(text))
    lines = ",\n  ".join(line(spec_json(each)) for each in found)
    click.echo(f"[\n  {lines}\n]" if found else "[]")


def _changes(said: dict[str, Any]) -> WorkflowChanges:
    changes: WorkflowChanges = {}
    if said["graph"]:
        changes["graph"] = read_graph(said["graph"])
    if (inputs := specs_at(said["specs"])) is not None:
        changes["inputs"] = inputs
    if said["default_version"] is not None:
        changes["default_version"] = said["default_version"]
    if said["display_name"] is not None:
        changes["display_name"] = said["display_name"]
    if said["description"] is not None:
        changes["description"] = said["description"]
    if said["labels"] or said["no_labels"]:
        changes["labels"] = parse_labels(said["labels"])
    return changes


def _print(session: Session, found: Workflow | WorkflowVersion) -> None:
    if session.as_json:
        click.echo(line(plain(found)))
        return
    console = session.console
    if isinstance(found, Workflow):
        console.print(workflow_details(found, datetime.now(UTC)))
    if found.inputs:
        console.print(input_table(found.inputs, found.graph_json))
