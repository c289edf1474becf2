"""Walks over the links of a graph: what an output needs, and where the graph bites its own tail.

No recursion, since a graph from outside may be one chain of thousands of graph nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from comfymesh.graphs.graph import Graph, GraphNode

Sources: TypeAlias = "Mapping[str, Sequence[str]]"
"""Graph node id to the graph nodes that feed it; every one of them is a key as well."""


@dataclass(slots=True)
class Walk:
    """What a depth-first walk from the outputs found.

    Attributes:
        finished: Graph nodes reached, each after everything that it needs (a cycle apart).
        cycles: Each cycle met, as the path from its first graph node down to its last.
    """

    finished: list[str] = field(default_factory=list)
    cycles: list[list[str]] = field(default_factory=list)


def walk(sources: Sources, outputs: Iterable[str]) -> Walk:
    """Walks from the outputs up to everything that they need."""
    result = Walk()
    done: set[str] = set()
    for output in outputs:
        if output not in done:
            _walk_from(sources, output, done, result)
    return result


def needed(graph: Graph, outputs: Iterable[str]) -> list[str]:
    """Graph nodes that these outputs need, by whichever inputs, each after everything that it needs."""
    return walk({node.id: _feeding(node, graph) for node in graph.nodes.values()}, outputs).finished


def _feeding(node: GraphNode, graph: Graph) -> list[str]:
    return [link.node_id for _, link in node.links() if isinstance(link.node_id, str) and link.node_id in graph.nodes]


def _walk_from(sources: Sources, output: str, done: set[str], result: Walk) -> None:
    path = {output: iter(sources[output])}
    while path:
        current = next(reversed(path))
        source = next(path[current], None)
        if source is None:
            del path[current]
            done.add(current)
            result.finished.append(current)
        elif source in path:
            nodes = list(path)
            result.cycles.append(nodes[nodes.index(source) :])
        elif source not in done:
            path[source] = iter(sources[source])


def dependents(sources: Sources, outputs: Sequence[str], finished: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Returns, for each graph node reached, the outputs that need it, in the order given."""
    needed_by = dict.fromkeys(finished, 0)
    for position, output in enumerate(outputs):
        needed_by[output] |= 1 << position
    # One pass from consumers to producers does, where there is no cycle; each cycle may need further passes.
    while _spread(sources, needed_by, finished):
        pass
    return {
        node_id: tuple(output for position, output in enumerate(outputs) if bits >> position & 1)
        for node_id, bits in needed_by.items()
    }


def _spread(sources: Sources, needed_by: dict[str, int], finished: Sequence[str]) -> bool:
    changed = False
    for node_id in reversed(finished):
        for source in sources[node_id]:
            merged = needed_by[source] | needed_by[node_id]
            changed = changed or merged != needed_by[source]
            needed_by[source] = merged
    return changed
