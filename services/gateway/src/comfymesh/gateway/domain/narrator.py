"""Tells a client of ComfyUI what happens to a task, in ComfyUI's events and their order (protocol notes, section 9).

The mesh conflates progress, so it does not tell of every graph node. What it leaves out follows from the graph: a graph
node that runs has had all that it needs, and a task that succeeded has done everything. Such nodes are told to have
begun and ended in between. Which of them came out of an instance's cache nobody knows, so none is told to be cached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from comfymesh.client import Event, Phase, PreviewArrived, Progress, Progressed, Task, TaskChanged, TaskState
from comfymesh.gateway.domain import history
from comfymesh.gateway.domain.submission import as_graph
from comfymesh.graphs import JsonValue
from comfymesh.graphs.walk import walk


@dataclass(frozen=True, slots=True)
class Told:
    """An event for the client: its type, and its data."""

    type: str
    data: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Shown:
    """A preview, and what clients are told of it that ask for that."""

    picture: bytes
    media_type: str
    metadata: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Dequeued:
    """The prompt has begun: everybody is told the length of the queue."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The prompt has ended: everybody is told the length of the queue without it."""


Item = Told | Shown | Dequeued | Ended


class Narrator:
    """What one prompt's client has been told.

    Args:
        prompt_id: The prompt.
        graph: Its graph.
        outputs: The graph's output nodes.
        midway: Whether the client was there when it began, and is told nothing of that again.
    """

    def __init__(
        self, prompt_id: str, graph: Mapping[str, JsonValue], outputs: tuple[str, ...], *, midway: bool = False
    ) -> None:
        self._id = prompt_id
        self._graph = graph
        self._midway = midway
        self._began = midway
        self._attempt = 0
        self._order = _order(graph, outputs)
        self._states: dict[str, dict[str, JsonValue]] = {}
        self.current: str | None = None

    def feed(self, event: Event, texts: Mapping[str, str], now: float) -> list[Item]:
        """Takes an event of the mesh.

        Args:
            event: The event.
            texts: What the task's artifacts that are texts say, once it has ended.
            now: Seconds since the epoch.
        """
        match event:
            case TaskChanged(task=task) if task.state.final:
                return [*self._end(task, texts, now)]
            case TaskChanged(task=task) if task.state in {TaskState.RUNNING, TaskState.CANCELLING}:
                return [*self._begin(now)]
            case Progressed(progress=progress) if progress.phase in {Phase.EXECUTING, Phase.STORING}:
                return [*self._begin(now), *self._progress(progress)]
            case PreviewArrived(preview=preview) if preview.attempt >= self._attempt and self._began:
                node = preview.graph_node or self.current or ""
                return [Shown(preview.data, preview.media_type, self._metadata(node))]
            case _:
                return []

    def _begin(self, now: float) -> Iterator[Item]:
        if self._began:
            return
        self._began = True
        at = round(now * 1000)
        yield Dequeued()
        yield self._told("execution_start", timestamp=at)
        yield self._told("execution_cached", nodes=[], timestamp=at)

    def _progress(self, progress: Progress) -> Iterator[Item]:
        if progress.attempt < self._attempt:
            return
        if progress.attempt > self._attempt and self._attempt:
            # Tried again, which ComfyUI has no word for: its graph nodes run once more.
            self._states, self.current = {}, None
        self._attempt = progress.attempt
        node = progress.graph_node
        if node and node != self.current and self._state_of(node) != "finished":
            yield from self._catch_up(node)
            yield from self._run(node)
        if node and node == self.current and progress.step_count:
            told = (progress.step, progress.step_count)
            if (self._states[node]["value"], self._states[node]["max"]) != told or progress.step == 0:
                self._states[node] = self._state(node, *told, "running")
                yield self._progress_state()
                yield self._told("progress", value=progress.step, max=progress.step_count, node=node)

    def _catch_up(self, node: str) -> Iterator[Item]:
        """What must have run before a graph node that runs."""
        yield from self._finish()
        for earlier in _order(self._graph, (node,)) if node in self._graph else ():
            if earlier == node or self._state_of(earlier) is not None:
                continue
            if self._midway:
                # The client was told of it before, or was not there.
                self._states[earlier] = self._state(earlier, 1.0, 1.0, "finished")
                continue
            yield from self._run(earlier)
            yield from self._finish()

    def _run(self, node: str) -> Iterator[Item]:
        self.current = node
        self._states[node] = self._state(node, 0.0, 1.0, "running")
        yield self._progress_state()
        if self._midway:
            # What a client is told that has come back (protocol notes, section 7.1).
            self._midway = False
            yield Told("executing", {"node": node})
        else:
            yield self._told("executing", node=node, display_node=self._display(node))

    def _finish(self) -> Iterator[Item]:
        if self.current is not None:
            most = self._states[self.current]["max"]
            self._states[self.current] = self._state(self.current, most, most, "finished")
            self.current = None
            yield self._progress_state()

    def _end(self, task: Task, texts: Mapping[str, str], now: float) -> Iterator[Item]:
        # What was cancelled while it waited is gone without a word, as in ComfyUI.
        unseen = not self._began and not history.is_shown(task)
        if not unseen:
            yield from self._begin(now)
            if task.state is TaskState.SUCCEEDED:
                yield from self._done(history.outputs(task, texts))
            name, data = history.ending(task, self._id, self._graph)
            if name != "execution_success":
                executed = list[JsonValue](node for node, state in self._states.items() if state["state"] == "finished")
                data |= {"executed": executed, "node_id": data["node_id"] or self.current or ""}
                data["node_type"] = data["node_type"] or self._class_of(str(data["node_id"]))
            yield Told(name, data)
        yield Ended()
        if not unseen:
            yield self._told("executing", node=None)

    def _done(self, outputs: Mapping[str, dict[str, JsonValue]]) -> Iterator[Item]:
        """Everything that was not told yet, the outputs among it."""
        current = self.current
        if current is not None and current in outputs:
            yield self._executed(current, outputs[current])
        yield from self._finish()
        for node in self._order:
            if self._state_of(node) is None:
                yield from self._run(node)
                if node in outputs:
                    yield self._executed(node, outputs[node])
                yield from self._finish()
            elif node in outputs and node != current:
                yield self._executed(node, outputs[node])
        for node in outputs:
            if node not in self._graph:
                yield self._executed(node, outputs[node])

    def _executed(self, node: str, output: dict[str, JsonValue]) -> Told:
        return self._told("executed", node=node, display_node=self._display(node), output=output)

    def _told(self, kind: str, **data: JsonValue) -> Told:
        return Told(kind, {**data, "prompt_id": self._id})

    def _progress_state(self) -> Told:
        return Told("progress_state", {"prompt_id": self._id, "nodes": dict(self._states)})

    def _state_of(self, node: str) -> JsonValue:
        return self._states[node]["state"] if node in self._states else None

    def _state(self, node: str, value: JsonValue, most: JsonValue, state: str) -> dict[str, JsonValue]:
        return {"value": value, "max": most, "state": state, "prompt_id": self._id, **self._places(node)}

    def _metadata(self, node: str) -> dict[str, str | None]:
        return {"prompt_id": self._id, **self._places(node)}

    def _places(self, node: str) -> dict[str, str | None]:
        shown = self._display(node)
        parent = None if shown == node else shown
        return {"node_id": node, "display_node_id": shown, "parent_node_id": parent, "real_node_id": shown}

    def _display(self, node: str) -> str:
        """The graph node that a client knows: those that are made at run time have dotted names."""
        known = node.partition(".")[0]
        return known if node not in self._graph and known in self._graph else node

    def _class_of(self, node: str) -> JsonValue:
        written = self._graph.get(node)
        return written.get("class_type") if isinstance(written, dict) else ""


def _order(graph: Mapping[str, JsonValue], outputs: tuple[str, ...]) -> list[str]:
    """The graph nodes that some need, each behind all that it needs itself."""
    nodes = as_graph(graph).nodes
    sources = {
        node_id: [str(link.node_id) for _, link in node.links() if str(link.node_id) in nodes]
        for node_id, node in nodes.items()
    }
    return walk(sources, [node for node in outputs if node in nodes]).finished
