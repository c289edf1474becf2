"""The graph: a ComfyUI workflow in API format as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from comfymesh.graphs.errors import GraphError, GraphErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


@dataclass(frozen=True, slots=True)
class Link:
    """An input fed by another graph node: ``[node id, output slot]`` in the text.

    Both parts are kept as they were written, since a graph from outside may hold anything there; only a
    string and an integer can lead anywhere.
    """

    node_id: JsonValue
    slot: JsonValue


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One graph node.

    Attributes:
        id: Its key in the graph.
        class_type: Name of its node class.
        inputs: Input name to value. A list is always a link (ComfyUI protocol notes, section 4).
        title: What its author called it, or None.
    """

    id: str
    class_type: str
    inputs: Mapping[str, JsonValue]
    title: str | None = None

    def links(self) -> Iterator[tuple[str, Link]]:
        """Yields every well-formed link as (input name, link); lists of other lengths are left out."""
        for name, value in self.inputs.items():
            if isinstance(value, list) and len(value) == 2:
                yield name, Link(value[0], value[1])


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole graph. Treat its mappings as read-only.

    Attributes:
        nodes: Graph node id to graph node, in the order of the text.
    """

    nodes: Mapping[str, GraphNode]

    def with_inputs(self, values: Mapping[tuple[str, str], JsonValue]) -> Graph:
        """Returns the graph with the inputs named by (graph node id, input name) set to new values.

        Raises:
            GraphError: UNKNOWN_INPUT when the graph has no such graph node. An input that the node does not
                yet hold is added: optional inputs are often left out of a graph.
        """
        if not values:
            return self
        nodes = dict(self.nodes)
        for (node_id, name), value in values.items():
            node = nodes.get(node_id)
            if node is None:
                raise GraphError(
                    GraphErrorReason.UNKNOWN_INPUT,
                    f"input {name!r} of graph node {node_id!r} cannot be set: no such graph node",
                    node_id=node_id,
                )
            nodes[node_id] = replace(node, inputs={**node.inputs, name: value})
        return Graph(nodes)

    def to_prompt(self) -> dict[str, JsonValue]:
        """Returns the object that ``POST /prompt`` takes as ``prompt``."""
        return {node.id: _node_to_prompt(node) for node in self.nodes.values()}

    def to_json(self) -> str:
        """Returns the graph as compact JSON text; integers keep all their digits."""
        return _ENCODER.encode(self.to_prompt())


def _node_to_prompt(node: GraphNode) -> JsonValue:
    written: dict[str, JsonValue] = {"class_type": node.class_type, "inputs": dict(node.inputs)}
    if node.title is not None:
        written["_meta"] = {"title": node.title}
    return written
