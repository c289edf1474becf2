"""How far a prompt is as a whole. Pure: events of one prompt in, a view out.

ComfyUI tells steps of single graph nodes and never a total (ComfyUI protocol notes, section 7.3), so the total is made
here: each graph node of the submitted graph is a share, and what is made at run time counts towards the graph node that
stands for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.events import (
    ExecutionCached,
    ExecutionSucceeded,
    NodeStarted,
    ProgressState,
    StepProgress,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from comfymesh.agent.comfyui.events import Event, GraphNodeState


@dataclass(frozen=True, slots=True)
class ProgressView:
    """How far a prompt is. `fraction` and `graph_nodes_done` never go back.

    Attributes:
        fraction: Overall, 0 to 1; exactly 1 only once ComfyUI reported success.
        graph_nodes_done: Graph nodes that are done or were cached.
        graph_node_count: Graph nodes in the submitted graph.
        graph_node: The one that runs, as named in the submitted graph; empty before the first.
        graph_node_class: Its class.
        step: Steps that it has done.
        step_count: Its steps; 0 if it does not tell.
    """

    fraction: float
    graph_nodes_done: int
    graph_node_count: int
    graph_node: str
    graph_node_class: str
    step: int
    step_count: int


class PromptProgress:
    """Collects the events of one prompt.

    Args:
        classes: Graph node to class, of the whole submitted graph.
        weights: Share of the whole by graph node, such as learned seconds; 1 for those not named. Not negative.
    """

    def __init__(self, classes: Mapping[str, str], weights: Mapping[str, float] | None = None) -> None:
        self._classes = classes
        given = weights or {}
        self._weights = {node: given.get(node, 1.0) for node in classes}
        self._total = sum(self._weights.values())
        self._parts = dict.fromkeys(classes, 0.0)
        self._done: set[str] = set()
        self._current = ""
        self._step = self._step_count = 0
        self._fraction = 0.0
        self._succeeded = False
        self._has_states = False

    @property
    def view(self) -> ProgressView:
        """How far it is now."""
        return ProgressView(
            fraction=1.0 if self._succeeded else self._fraction,
            graph_nodes_done=len(self._classes) if self._succeeded else len(self._done),
            graph_node_count=len(self._classes),
            graph_node=self._current,
            graph_node_class=self._classes.get(self._current, ""),
            step=self._step,
            step_count=self._step_count,
        )

    def feed(self, event: Event) -> None:
        """Take in one event of this prompt; those that say nothing about progress change nothing.

        Args:
            event: The event.
        """
        match event:
            case ProgressState():
                self._states(event.graph_nodes)
            case StepProgress():
                self._steps(event)
            case NodeStarted():
                self._started(event)
            case ExecutionCached():
                self._finish(event.graph_nodes)
            case ExecutionSucceeded():
                self._succeeded = True
            case _:
                return
        self._advance()

    def _states(self, states: Iterable[GraphNodeState]) -> None:
        self._has_states = True
        parts: dict[str, list[float]] = {}
        for state in states:
            node = self._known(state.display_node)
            if state.finished and state.graph_node == node:
                self._finish((node,))
            elif node:
                parts.setdefault(node, []).append(_part(state))
                self._count_steps(state, node)
        for node, shares in parts.items():
            self._raise_part(node, sum(shares) / len(shares))

    def _count_steps(self, state: GraphNodeState, node: str) -> None:
        """The step is told here already, a moment before `progress` does. A graph node without steps has 1."""
        if node == state.graph_node == self._current and state.maximum > 1:
            self._step_count = round(state.maximum)
            self._step = min(round(state.value), self._step_count)

    def _steps(self, event: StepProgress) -> None:
        node = self._known(event.graph_node) or self._current
        self._run(node)
        self._step_count = round(event.maximum)
        self._step = min(round(event.value), self._step_count)
        # What is made at run time is only one of many parts of the graph node that stands for it.
        if event.maximum and event.graph_node == node:
            self._raise_part(node, event.value / event.maximum)

    def _started(self, event: NodeStarted) -> None:
        node = self._known(event.display_node)
        if not node:
            return
        # Servers without progress states run one graph node after the other and do not tell when one is done.
        if not self._has_states and self._current not in ("", node):
            self._finish((self._current,))
        self._run(node)
        self._step = self._step_count = 0

    def _run(self, node: str) -> None:
        if node != self._current:
            self._current = node
            self._step = self._step_count = 0

    def _known(self, node: str) -> str:
        """The graph node of the submitted graph that stands for this one; empty if none does."""
        if node in self._classes:
            return node
        origin = node.partition(".")[0]
        return origin if origin in self._classes else ""

    def _finish(self, nodes: Iterable[str]) -> None:
        self._done.update(node for node in nodes if node in self._classes)

    def _raise_part(self, node: str, part: float) -> None:
        if node in self._parts:
            self._parts[node] = max(self._parts[node], min(part, 1.0))

    def _advance(self) -> None:
        if not self._total:
            return
        reached = sum(
            weight if node in self._done else weight * self._parts[node] for node, weight in self._weights.items()
        )
        self._fraction = max(self._fraction, min(reached / self._total, _ALMOST))


def _part(state: GraphNodeState) -> float:
    if state.finished:
        return 1.0
    return min(state.value / state.maximum, 1.0) if state.maximum else 0.0


_ALMOST = 0.999
