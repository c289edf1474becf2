"""What is known of the task being followed. Pure: events and times go in, sentences come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from comfymesh.cli.text import duration, one_line, short_name
from comfymesh.client import ArtifactStored, Phase, PreviewArrived, Progressed, TaskChanged, TaskState

if TYPE_CHECKING:
    from comfymesh.client import Event, Preview, Progress, Task

_PHASES = {
    Phase.STAGING: "bringing inputs to the node",
    Phase.STORING: "storing outputs",
}


@dataclass(frozen=True, slots=True)
class View:
    """A picture of the task at one moment.

    Attributes:
        target: Address of the server.
        began: When the command began, in monotonic seconds.
        task: The task, or None before the server has confirmed it.
        progress: The latest progress of the present attempt, or None.
        progress_at: When it arrived, in monotonic seconds.
        stored: How many files the present attempt has stored so far, as far as it has told.
        preview: The latest preview of the present attempt, or None.
    """

    target: str
    began: float
    task: Task | None = None
    progress: Progress | None = None
    progress_at: float = 0.0
    stored: int = 0
    preview: Preview | None = None

    def after(self, event: Event, now: float) -> View:
        """The picture after an event."""
        match event:
            case Progressed(progress):
                return replace(self, progress=progress, progress_at=now)
            case TaskChanged(task):
                if self.task is None or task.attempt == self.task.attempt:
                    return replace(self, task=task)
                return replace(self, task=task, progress=None, stored=0, preview=None)
            case ArtifactStored():
                return replace(self, stored=self.stored + 1)
            case PreviewArrived(preview):
                return replace(self, preview=preview)
            case _:
                return self

    @property
    def final(self) -> bool:
        """Whether the task has ended."""
        return self.task is not None and self.task.state.final

    @property
    def fraction(self) -> float:
        """Share of the graph that is done, 0 to 1."""
        if self.task is not None and self.task.state is TaskState.SUCCEEDED:
            return 1.0
        return min(max(self.progress.fraction, 0.0), 1.0) if self.progress is not None else 0.0

    def eta(self, now: float) -> str:
        """How long it will still take, or an empty text."""
        if self.final or self.progress is None or self.progress.eta is None:
            return ""
        left = self.progress.eta.total_seconds() - (now - self.progress_at)
        return f"{duration(max(left, 1.0))} left"


def title(task: Task) -> str:
    """A task's name, and its name for people when it has one."""
    shown = one_line(task.display_name)
    return f"{short_name(task.name)} ({shown})" if shown else short_name(task.name)


def sentence(view: View) -> str:
    """What is going on."""
    if view.task is None:
        return f"sending the graph and its inputs to {view.target}"
    state = view.task.state
    if state in {TaskState.QUEUED, TaskState.ASSIGNED} and view.progress is not None:
        position = view.progress.queue_position
        if position and state is TaskState.QUEUED:
            return f"waiting, position {position} in the queue"
    if state is TaskState.RUNNING and view.progress is not None and view.progress.phase in _PHASES:
        return f"{_PHASES[view.progress.phase]}{place(view.task)}"
    return state_sentence(view.task)


def state_sentence(task: Task) -> str:
    """A task's state, and where."""
    match task.state:
        case TaskState.QUEUED:
            again = f", after attempt {task.attempt}" if task.attempt else ""
            return f"waiting in the queue{again}"
        case TaskState.ASSIGNED:
            return f"assigned{place(task, 'to')}"
        case TaskState.RUNNING:
            return f"running{place(task)}"
        case _:
            return task.state.lower()


def place(task: Task, preposition: str = "on") -> str:
    """Where a task is, beginning with a blank, or nothing when that is not known."""
    where = short_name(task.node) if task.node else ""
    if where and task.instance:
        where += f"/{one_line(task.instance)}"
    tried = f", attempt {task.attempt}" if task.attempt > 1 else ""
    return f" {preposition} {where}{tried}" if where else tried


def graph_node(progress: Progress) -> str:
    """The graph node under way: its class and ID."""
    if not progress.graph_node:
        return ""
    kind = one_line(progress.graph_node_class)
    return f"{kind} [{one_line(progress.graph_node)}]" if kind else f"[{one_line(progress.graph_node)}]"
