"""What was found out about a graph, kept for further ones that differ from it in plain values alone.

Callers send one workflow again and again, with another seed and another prompt. Which graph nodes run, whether their
links fit and whether all that is required is given follows from what stays the same, the graph's *structure*: ids,
classes, names of inputs, links. So of a graph whose structure was found sound only the values are looked at again, and
whatever of them is not surely right has the graph go the whole way (ADR 71).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from comfymesh.graphs.models import ModelReference, is_list_input, names_model
from comfymesh.graphs.sockets import is_dynamic
from comfymesh.graphs.values import Surely, surely
from comfymesh.graphs.walk import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from comfymesh.graphs.catalog import Catalog, InputSpec
    from comfymesh.graphs.graph import Graph, GraphNode, JsonValue

Structure: TypeAlias = tuple[tuple[object, ...], ...]
"""For each graph node its id, its class, and for each input its name and its link, None for a plain value."""

ROOM_FOR_SHAPES = 8192
"""Characters that the shapes of one structure may take. Callers choose the values that make them."""
_OF_A_SHAPE = 256
_OF_A_FILE = 64


def structure_of(graph: Graph) -> Structure | None:
    """The structure of a graph; None where a link is written in an odd way: to Python 1, 1.0 and True are the same."""
    found: list[tuple[object, ...]] = []
    for node in graph.nodes.values():
        parts: list[object] = [node.id, node.class_type]
        for name, value in node.inputs.items():
            if type(value) is not list:
                parts += (name, None)
            elif len(value) == 2 and type(value[0]) is str and type(value[1]) is int:
                parts += (name, (value[0], value[1]))
            else:
                return None
        found.append(tuple(parts))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class PlainValue:
    """A plain value that is checked, and what knows that it is surely right."""

    node_id: str
    spec: InputSpec
    is_right: Surely


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """A plain value that may name a model file; in a sound graph it is one of `options`, where it `is_checked`."""

    node_id: str
    class_type: str
    name: str
    options: tuple[JsonValue, ...]
    is_checked: bool


class Shapes:
    """Shapes of graphs of one structure, by the files that they name, as far as there is room."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], str] = {}
        self._room = ROOM_FOR_SHAPES

    def find(self, files: tuple[str, ...]) -> str | None:
        """The shape with these files; None where it is not known."""
        return self._known.get(files)

    def keep(self, files: tuple[str, ...], shape: str) -> None:
        """Keep one that was not known."""
        size = _OF_A_SHAPE + sum(_OF_A_FILE + len(file) for file in files)
        if size <= self._room:
            self._known[files] = shape
            self._room -= size


@dataclass(frozen=True, slots=True)
class Sound:
    """What holds for every graph of a structure that a catalog can run as a whole, whatever its plain values are.

    Attributes:
        outputs: Its output graph nodes.
        reached: Graph nodes that these need.
        values: What is to be checked.
        models: Where model files may be named.
        running: Graph nodes that count for how much work it is, each after what feeds it.
        texts: Their plain values, as graph node and input: those that name files make its shape.
        shapes: Its shapes, as far as they were asked for.
    """

    outputs: tuple[str, ...]
    reached: frozenset[str]
    values: tuple[PlainValue, ...]
    models: tuple[ModelPlace, ...]
    running: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    shapes: Shapes = field(default_factory=Shapes, compare=False)

    @classmethod
    def of(cls, graph: Graph, catalog: Catalog, outputs: tuple[str, ...], reached: frozenset[str]) -> Sound:
        """Out of a graph that was found sound."""
        running = tuple(needed(graph, outputs))
        return cls(
            outputs,
            reached,
            tuple(chain.from_iterable(_values(graph.nodes[name], catalog) for name in graph.nodes if name in reached)),
            tuple(chain.from_iterable(_models(node, catalog, reached) for node in graph.nodes.values())),
            running,
            tuple((name, each) for name in running for each in _plain(graph.nodes[name])),
        )

    def references(self, graph: Graph) -> tuple[ModelReference, ...]:
        """As `model_references`, of a graph whose values were checked."""
        return tuple(
            ModelReference(value, at.node_id, at.class_type, at.name, known=at.is_checked or value in at.options)
            for at in self.models
            if names_model(value := graph.nodes[at.node_id].inputs[at.name])
        )

    def files(self, graph: Graph) -> tuple[str, ...]:
        """What tells its shape from others of this structure: values that name files, and empty texts for others."""
        found = (graph.nodes[node_id].inputs[name] for node_id, name in self.texts)
        return tuple(value if names_model(value) else "" for value in found)


def _plain(node: GraphNode) -> Iterator[str]:
    return (name for name, value in node.inputs.items() if not isinstance(value, list))


def _values(node: GraphNode, catalog: Catalog) -> Iterator[PlainValue]:
    plain = set(_plain(node))
    for spec in catalog.classes[node.class_type].inputs.values():
        if spec.name in plain and not is_dynamic(spec.type):
            yield PlainValue(node.id, spec, surely(spec))


def _models(node: GraphNode, catalog: Catalog, reached: frozenset[str]) -> Iterator[ModelPlace]:
    for name in _plain(node):
        if is_list_input(catalog, node, name):
            spec = catalog.classes[node.class_type].inputs[name]
            yield ModelPlace(node.id, node.class_type, name, spec.options, node.id in reached)
