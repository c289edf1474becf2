"""A live display for terminals: what is going on, the whole graph, the graph node under way, and previews."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Group
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from comfymesh.cli.plain import saved_line
from comfymesh.cli.text import duration, percent
from comfymesh.cli.view import View, graph_node, sentence, title
from comfymesh.client import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from comfymesh.cli.preview import PreviewArea
    from comfymesh.client import Event, LoadedArtifact, Progress, Task

_ENDINGS = {
    TaskState.SUCCEEDED: ("✓", "bold green"),
    TaskState.FAILED: ("✗", "bold red"),
    TaskState.CANCELLED: ("■", "bold yellow"),
    TaskState.EXPIRED: ("■", "bold yellow"),
}
_LABEL_WIDTH = 24
_WIDEST = 110
_MARGIN = 4
"""Columns left free for the ^C that a terminal echoes: a line that it breaks would spoil the redrawing."""
_REFRESHES = 10
"""A second: enough for a smooth spinner."""


def render(view: View, now: float, spinner: Spinner, width: int) -> RenderableType:
    """The display.

    Args:
        view: What is known.
        now: Monotonic seconds.
        spinner: Turns while the task goes on.
        width: Columns of the terminal.
    """
    lines: list[RenderableType] = [_headline(view, now, spinner)]
    if view.task is not None and _worth_bars(view):
        lines.append(Constrain(_bars(view, now), min(width - _MARGIN, _WIDEST)))
    return Group(*lines)


class LiveReporter:
    """Shows the display while a task is followed, and leaves its last picture.

    Args:
        console: Where to draw.
        target: Address of the server.
        area: Where previews are drawn; None where the terminal shows none.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        console: Console,
        target: str,
        area: PreviewArea | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._area = area
        self._clock = clock
        self._view = View(target=target, began=clock())
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None

    @property
    def previews(self) -> bool:
        """Whether previews are of use."""
        return self._area is not None

    def start(self) -> None:
        """Begins to draw."""
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=_REFRESHES)
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Draws the last picture and gives the terminal back."""
        if self._live is not None:
            # Of a task that the server never confirmed nothing is worth leaving.
            self._live.transient = self._view.task is None
            self._view = replace(self._view, preview=None)
            self._live.stop()
            self._live = None

    def event(self, event: Event) -> None:
        """Takes an event; it is drawn with the next refresh."""
        self._view = self._view.after(event, self._clock())

    def saved(self, artifact: LoadedArtifact) -> None:
        """Prints where an artifact was saved."""
        self._console.print(Text("  " + saved_line(artifact)), soft_wrap=True)

    def finished(self, task: Task) -> None:
        """Prints what is to be said at the end."""
        if not task.artifacts:
            self._console.print(Text("  The graph saved no files."))

    def _render(self) -> RenderableType:
        display = render(self._view, self._clock(), self._spinner, self._console.width)
        if self._area is None:
            return display
        self._area.show(None if self._view.final else self._view.preview)
        return Group(self._area, display)


def _headline(view: View, now: float, spinner: Spinner) -> RenderableType:
    words = Text()
    if view.task is not None:
        words.append(title(view.task), style="bold").append("  ")
    mark: RenderableType = spinner
    style = ""
    if view.task is not None and view.task.state in _ENDINGS:
        symbol, style = _ENDINGS[view.task.state]
        mark = Text(symbol, style=style)
    words.append(sentence(view), style=style)
    words.append(f"  {duration(now - view.began)}", style="dim")
    line = Table.grid(padding=(0, 1))
    line.add_row(mark, words)
    return line


def _worth_bars(view: View) -> bool:
    """Bars say nothing while the task waits, nor of one that was never begun."""
    assert view.task is not None
    if view.task.state is TaskState.SUCCEEDED:
        return True
    return view.progress is not None and view.progress.attempt > 0


def _bars(view: View, now: float) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(width=_LABEL_WIDTH, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_row("", Text("overall"), _bar(view.fraction), percent(view.fraction), _remarks(view, now))
    if not view.final and view.progress is not None and view.progress.graph_node:
        grid.add_row("", Text(graph_node(view.progress), style="cyan"), *_steps(view.progress))
    return grid


def _remarks(view: View, now: float) -> Text:
    parts = []
    if view.progress is not None and view.progress.graph_node_count:
        done = view.progress.graph_node_count if view.fraction == 1.0 else view.progress.graph_nodes_done
        parts.append(f"{done}/{view.progress.graph_node_count} graph nodes")
    if view.stored and not view.final:
        parts.append(f"{view.stored} {'file' if view.stored == 1 else 'files'} stored")
    parts.append(view.eta(now))
    return Text("  ".join(part for part in parts if part), style="dim")


def _steps(progress: Progress) -> tuple[RenderableType, str, Text]:
    if not progress.step_count:
        return ProgressBar(pulse=True), "", Text()
    share = progress.step / progress.step_count
    return _bar(share), percent(share), Text(f"step {progress.step}/{progress.step_count}", style="dim")


def _bar(share: float) -> ProgressBar:
    return ProgressBar(total=1.0, completed=min(max(share, 0.0), 1.0))
