"""The order in which the graph nodes of one prompt run. No IO."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field

from comfymesh.graphs import JsonValue


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A graph node of the prompt, or one made at run time.

    Attributes:
        id: Its id; dotted for one made at run time.
        class_type: Its class.
        inputs: Values and links.
        display_id: The graph node of the prompt that stands for it.
        parent_id: The graph node that made it, or None.
    """

    id: str
    class_type: str
    inputs: Mapping[str, object]
    display_id: str
    parent_id: str | None = None

    def sources(self) -> list[str]:
        """Returns the graph nodes that feed it, in the order of its inputs."""
        links = (value for value in self.inputs.values() if is_link(value))
        return list(dict.fromkeys(str(link[0]) for link in links))  # type: ignore[index]


def is_link(value: object) -> bool:
    """Tells whether an input is fed by another graph node."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def planned_nodes(
    graph: Mapping[str, JsonValue], known_inputs: Callable[[str], Container[str]]
) -> dict[str, PlannedNode]:
    """Returns the graph nodes of a prompt that was accepted, without inputs that their classes lack.

    Args:
        graph: The graph as an object.
        known_inputs: Returns the names of the inputs of a class.
    """
    planned = {}
    for node_id, node in graph.items():
        if isinstance(node, dict) and isinstance(inputs := node.get("inputs"), dict):
            class_type = str(node["class_type"])
            known = known_inputs(class_type)
            kept = {name: value for name, value in inputs.items() if name in known}
            planned[node_id] = PlannedNode(node_id, class_type, kept, node_id)
    return planned


@dataclass(slots=True)
class Plan:
    """Which graph nodes wait for which, and which comes next.

    Attributes:
        nodes: All graph nodes, those made at run time included.
        is_cached: Tells whether a graph node's result is there already.
        is_output: Tells whether a graph node is an output.
    """

    nodes: dict[str, PlannedNode]
    is_cached: Callable[[str], bool]
    is_output: Callable[[str], bool]
    _waits_for: dict[str, set[str]] = field(default_factory=dict)
    _feeds: dict[str, set[str]] = field(default_factory=dict)

    def add(self, wanted: Iterable[str]) -> None:
        """Adds graph nodes and all that they need, except what is cached."""
        stack = [*wanted]
        while stack:
            node_id = stack.pop()
            if node_id in self._waits_for:
                continue
            self._waits_for[node_id] = set()
            if self.is_cached(node_id):
                continue
            needed = [source for source in self.nodes[node_id].sources() if not self.is_cached(source)]
            for source in needed:
                self.wait(node_id, source)
            stack.extend(needed)

    def wait(self, node_id: str, source: str) -> None:
        """Makes a graph node wait for another one."""
        self._waits_for[node_id].add(source)
        self._feeds.setdefault(source, set()).add(node_id)

    def pick(self) -> str | None:
        """Returns the graph node to run now, or None when all are done.

        Of those that are ready, outputs go first, then what feeds an output directly or over one other, then the
        one that was added first (ComfyUI protocol notes, section 9).
        """
        ready = [node_id for node_id, sources in self._waits_for.items() if not sources]
        if not ready:
            return None
        return min(ready, key=self._rank)

    def done(self, node_id: str) -> None:
        """Takes a graph node out; what waited for it no longer does."""
        del self._waits_for[node_id]
        for consumer in self._feeds.pop(node_id, set()):
            self._waits_for[consumer].discard(node_id)

    def _rank(self, node_id: str) -> int:
        if self.is_output(node_id):
            return 0
        consumers = self._feeds.get(node_id, set())
        if any(self.is_output(consumer) for consumer in consumers):
            return 1
        further = {last for consumer in consumers for last in self._feeds.get(consumer, set())}
        return 2 if any(self.is_output(last) for last in further) else 3
