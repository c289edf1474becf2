"""Follows a task for the user, who may interrupt to cancel it or to let it go on alone."""

from __future__ import annotations

import asyncio
import os
import shlex
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypedDict

import click

from comfymesh.cli.jsonlines import JsonReporter
from comfymesh.cli.live import LiveReporter
from comfymesh.cli.outcomes import ExitCode
from comfymesh.cli.plain import PlainReporter
from comfymesh.cli.preview import PreviewArea
from comfymesh.cli.terminal_io import ask_for_sixel, cell_pixels
from comfymesh.cli.terminals import NONE, choose
from comfymesh.cli.text import short_name
from comfymesh.client import DEFAULT_TARGET, Conflict, TaskChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from rich.console import Console

    from comfymesh.cli.session import Session
    from comfymesh.client import AsyncClient, Event, LoadedArtifact, Result, Task

    Work = Callable[[AsyncClient, "Listening"], Coroutine[None, None, Result]]


class Listening(TypedDict):
    """What a task's events are good for, as the client's methods take it."""

    on_event: Callable[[Event], None]
    previews: bool


class Reporter(Protocol):
    """Tells the user what happens."""

    @property
    def previews(self) -> bool:
        """Whether previews are of use: the mesh sends them only where somebody looks."""

    def start(self) -> None:
        """Before the first event."""

    def stop(self) -> None:
        """After the last event, and before anything else is printed."""

    def event(self, event: Event) -> None:
        """An event arrived."""

    def saved(self, artifact: LoadedArtifact) -> None:
        """An artifact was saved."""

    def finished(self, task: Task) -> None:
        """All is done, and well."""


class Choice(Enum):
    """What to do with a task whose command was interrupted."""

    CANCEL = "c"
    DETACH = "d"
    KEEP = "k"


def reporter_for(session: Session, preview: str) -> Reporter:
    """The reporter that suits the output. See `follow`."""
    if session.as_json:
        return JsonReporter()
    if not session.live:
        return PlainReporter()
    console = session.console
    return LiveReporter(console, session.target, _preview_area(console, preview))


def _preview_area(console: Console, mode: str) -> PreviewArea | None:
    way = choose(mode, os.environ, console.color_system, ask_for_sixel)
    return PreviewArea(way, cell_pixels, console.color_system, os.getpid()) if way is not None else None


def follow(session: Session, work: Work, out: Path | None, preview: str = NONE) -> None:
    """Does the work, shows its progress, and saves what it made.

    Args:
        session: The session.
        work: Runs or watches a task.
        out: Where to save its artifacts, or None.
        preview: How previews are shown in a terminal, one of `terminals.MODES`.

    Raises:
        ComfyMeshError: The task did not succeed, or could not be followed.
        click.exceptions.Exit: The user interrupted, or the files can't be saved.
    """
    reporter = reporter_for(session, preview)
    result = Follower(session, reporter, out).follow(work)
    if out is not None:
        _save(result, out, reporter)
        reporter.finished(result.task)


class Follower:
    """One task, over as many interruptions as the user likes.

    Args:
        session: The session.
        reporter: Tells the user what happens.
        out: Where the files are wanted, for what is said about going on.
    """

    def __init__(self, session: Session, reporter: Reporter, out: Path | None) -> None:
        self._session = session
        self._reporter = reporter
        self._out = out
        self._task = ""
        self._listening: Listening = {"on_event": self._event, "previews": reporter.previews}

    def follow(self, work: Work) -> Result:
        """Does the work until it ends or the user has had enough. See `follow`."""
        # One runner, because the connection lives on its loop across interruptions.
        with asyncio.Runner() as runner:
            client = self._session.client()
            try:
                while True:
                    try:
                        return self._attempt(runner, client, work)
                    except KeyboardInterrupt:
                        work = self._interrupted(runner, client)
            finally:
                runner.run(client.close())

    def _attempt(self, runner: asyncio.Runner, client: AsyncClient, work: Work) -> Result:
        try:
            self._reporter.start()
            return runner.run(work(client, self._listening))
        finally:
            self._reporter.stop()

    def _event(self, event: Event) -> None:
        if isinstance(event, TaskChanged):
            self._task = event.task.name
        self._reporter.event(event)

    def _interrupted(self, runner: asyncio.Runner, client: AsyncClient) -> Work:
        """How to go on."""
        if not self._task:
            click.echo("Interrupted before the server confirmed the task.", err=True)
            raise click.exceptions.Exit(ExitCode.INTERRUPTED)
        choice = ask(short_name(self._task)) if self._session.interactive else Choice.DETACH
        if choice is Choice.DETACH:
            click.echo(detached(self._task, self._session.target, self._out), err=True)
            raise click.exceptions.Exit(ExitCode.INTERRUPTED)
        if choice is Choice.CANCEL:
            self._cancel(runner, client)
        name = self._task
        return lambda client, listening: client.result(name, **listening)

    def _cancel(self, runner: asyncio.Runner, client: AsyncClient) -> None:
        try:
            runner.run(client.cancel(self._task, "Interrupted at the command line."))
        except Conflict:
            click.echo("The task ended before it could be cancelled.", err=True)


def ask(task: str) -> Choice:
    """Asks what to do with the task; a further Ctrl-C means to detach."""
    click.echo(f"\nInterrupted. {task} is still on the mesh.", err=True)
    try:
        answer: str = click.prompt(
            "[c]ancel it, [d]etach and let it run, or [k]eep watching?",
            type=click.Choice([choice.value for choice in Choice]),
            default=Choice.DETACH.value,
            show_choices=False,
            err=True,
        )
    except click.Abort:
        click.echo(err=True)
        return Choice.DETACH
    return Choice(answer)


def detached(task: str, target: str, out: Path | None) -> str:
    """How to go on with a task that was left alone, at the same server."""
    name = short_name(task)
    there = "" if target == DEFAULT_TARGET else f" --target {shlex.quote(target)}"
    return (
        f"Detached; {name} goes on without you.\n"
        f"  follow it and save its files:  comfymesh watch {name} --out {shlex.quote(str(out or 'out'))}{there}\n"
        f"  cancel it:                     comfymesh cancel {name}{there}"
    )


def _save(result: Result, out: Path, reporter: Reporter) -> None:
    try:
        saved = result.saved(out)
    except OSError as error:
        name = short_name(result.task.name)
        click.echo(
            f"Error: the task succeeded, but its files can't be saved to {out}: {error.strerror or error}.\n"
            f"What to do: comfymesh watch {name} --out ANOTHER_DIRECTORY",
            err=True,
        )
        raise click.exceptions.Exit(ExitCode.FAILED) from error
    for artifact in saved.artifacts:
        reporter.saved(artifact)
