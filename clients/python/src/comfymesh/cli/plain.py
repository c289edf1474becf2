"""Progress as lines, for logs and pipes: one for each change of state, and one for about every tenth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comfymesh.cli.text import duration, one_line, percent, short_name, size
from comfymesh.cli.view import graph_node, state_sentence, title
from comfymesh.client import ArtifactStored, Phase, Progressed, TaskChanged

if TYPE_CHECKING:
    from comfymesh.client import Event, LoadedArtifact, Progress, Task


class PlainLines:
    """Decides which events deserve a line, and words it."""

    def __init__(self) -> None:
        self._name = ""
        self._tenth = 0
        self._position = 0
        self._attempt = 0

    def of(self, event: Event) -> str | None:
        """The line for an event, or None."""
        match event:
            case TaskChanged(task):
                first = not self._name
                self._name = short_name(task.name)
                return f"{title(task) if first else self._name}: {state_sentence(task)}"
            case Progressed(progress) if progress.phase is Phase.WAITING:
                return self._waiting(progress)
            case Progressed(progress):
                return self._executing(progress)
            case ArtifactStored(artifact):
                return f"{self._name}: stored {one_line(artifact.filename)} ({size(artifact.size_bytes)})"
            case _:
                return None

    def _waiting(self, progress: Progress) -> str | None:
        position = progress.queue_position
        # A long queue would make a line for every task ahead; each line halves what is left.
        if not position or (self._position and position > self._position // 2 and position != 1):
            return None
        if position == self._position:
            return None
        self._position = position
        return f"{self._name}: position {position} in the queue"

    def _executing(self, progress: Progress) -> str | None:
        if progress.attempt != self._attempt:
            self._attempt, self._tenth = progress.attempt, 0
        # A tenth of 0.3 is 2.9999999999999996 tenths to a computer.
        tenth = int(progress.fraction * 10 + 1e-9)
        if tenth <= self._tenth:
            return None
        self._tenth = tenth
        parts = [percent(progress.fraction), graph_node(progress)]
        if progress.step_count:
            parts.append(f"step {progress.step}/{progress.step_count}")
        if progress.eta is not None:
            parts.append(f"{duration(progress.eta.total_seconds())} left")
        return f"{self._name}: {', '.join(part for part in parts if part)}"


class PlainReporter:
    """Prints those lines."""

    previews = False

    def __init__(self) -> None:
        self._lines = PlainLines()

    def start(self) -> None:
        """Nothing to prepare."""

    def stop(self) -> None:
        """Nothing to put away."""

    def event(self, event: Event) -> None:
        """Prints the line for an event, if it has one."""
        line = self._lines.of(event)
        if line is not None:
            click.echo(line)

    def saved(self, artifact: LoadedArtifact) -> None:
        """Prints where an artifact was saved."""
        click.echo(saved_line(artifact))

    def finished(self, task: Task) -> None:
        """Prints what is to be said at the end."""
        if not task.artifacts:
            click.echo(f"{short_name(task.name)}: the graph saved no files")


def saved_line(artifact: LoadedArtifact) -> str:
    """Where an artifact was saved, with its size."""
    return f"saved {artifact.path} ({size(len(artifact.data))})"
