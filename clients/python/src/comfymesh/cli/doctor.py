"""Looks for what is wrong with a mesh, from where its users are."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.text import Text

from comfymesh.cli import diagnosis
from comfymesh.cli.complaints import advise
from comfymesh.cli.diagnosis import Finding, Level
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.options import with_session
from comfymesh.cli.outcomes import ExitCode
from comfymesh.cli.text import clean, one_line
from comfymesh.client import AccessDenied, ComfyMeshError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient

_HELP = """Look for what is wrong: the line, the key, the nodes, the queue. Ends with 1 where tasks can't be run.

\b
Examples:
  comfymesh doctor
  comfymesh --context prod doctor
  comfymesh doctor --json
"""

_MARKS = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.FAILURE: ("✗", "bold red")}


@click.command(help=_HELP, short_help="Look for what is wrong.")
@with_session
@click.pass_context
def doctor(ctx: click.Context, session: Session) -> None:  # noqa: D103
    found = session.call(lambda client: _examine(session, client))
    if any(finding.level is Level.FAILURE for finding in found):
        ctx.exit(ExitCode.FAILED)


async def _examine(session: Session, client: AsyncClient) -> list[Finding]:
    findings: list[Finding] = []
    async for finding in examine(client):
        findings.append(finding)
        if session.as_json:
            click.echo(line(plain(finding)))
        else:
            session.console.print(_shown(finding), soft_wrap=True)
    return findings


async def examine(client: AsyncClient) -> AsyncIterator[Finding]:
    """What is found, in the order in which it is looked for; nothing more once the server can't be asked."""
    try:
        began = time.monotonic()
        nodes = await client.nodes()
    except ComfyMeshError as error:
        yield _failed(f"{client.target} can't be asked", error)
        return
    yield Finding(Level.OK, f"{client.target} answers, after {(time.monotonic() - began) * 1000:.0f} ms")
    for finding in diagnosis.of_nodes(nodes):
        yield finding
    for finding in await _queue(client):
        yield finding


async def _queue(client: AsyncClient) -> Iterable[Finding]:
    try:
        return list(diagnosis.of_queue(await client.queue(), datetime.now(UTC)))
    except AccessDenied:
        return [Finding(Level.OK, "the queue was not looked at: that takes a key with the scope `operate`")]
    except ComfyMeshError as error:
        return [_failed("the scheduler can't be asked", error)]


def _failed(what: str, error: ComfyMeshError) -> Finding:
    return Finding(Level.FAILURE, f"{what}: {clean(error.message)}", advise(error).rstrip("."))


def _shown(finding: Finding) -> Text:
    mark, style = _MARKS[finding.level]
    text = Text.assemble((mark, style), " ", one_line(finding.what))
    return text.append(f"\n  {finding.advice}", style="dim") if finding.advice else text
