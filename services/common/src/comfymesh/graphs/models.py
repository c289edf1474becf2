"""Model files that a graph names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from comfymesh.graphs.catalog import COMBO, Catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfymesh.graphs.graph import Graph, GraphNode, JsonValue

MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl", ".gguf", ".onnx")
"""How the names of model files end; a value of a list with such an end is taken for one."""

_LONGEST_SUFFIX = max(map(len, MODEL_SUFFIXES))


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model file named by a graph.

    Attributes:
        name: The file, relative to its models folder, as the graph writes it.
        node_id: The graph node that names it.
        class_type: Class of that graph node.
        input_name: The input that names it.
        known: Whether the catalog offers this value there; False too when it lacks the class.
    """

    name: str
    node_id: str
    class_type: str
    input_name: str
    known: bool


def model_references(graph: Graph, catalog: Catalog) -> tuple[ModelReference, ...]:
    """Returns every model file that the graph names, in the order of the graph."""
    return tuple(
        ModelReference(value, node.id, node.class_type, name, known=_is_offered(catalog, node, name, value))
        for node in graph.nodes.values()
        for name, value in node.inputs.items()
        if names_model(value) and is_list_input(catalog, node, name)
    )


def offered_models(catalog: Catalog) -> Mapping[str, frozenset[str]]:
    """Every model file that graphs can name, and the inputs that take it, each ``class.input``."""
    found: dict[str, set[str]] = {}
    for node_class in catalog.classes.values():
        for spec in node_class.inputs.values():
            for value in spec.options if spec.upload is None else ():
                if names_model(value):
                    found.setdefault(value, set()).add(f"{node_class.name}.{spec.name}")
    return {name: frozenset(inputs) for name, inputs in found.items()}


def names_model(value: JsonValue) -> TypeGuard[str]:
    """Tells whether a value is taken for a model file where it stands in a list."""
    return isinstance(value, str) and value[-_LONGEST_SUFFIX:].lower().endswith(MODEL_SUFFIXES)


def is_list_input(catalog: Catalog, node: GraphNode, name: str) -> bool:
    """Tells whether the input takes values of a list; any input may, where the catalog lacks the class."""
    node_class = catalog.classes.get(node.class_type)
    if node_class is None:
        return True
    spec = node_class.inputs.get(name)
    return spec is not None and spec.type == COMBO and spec.upload is None


def _is_offered(catalog: Catalog, node: GraphNode, name: str, value: str) -> bool:
    node_class = catalog.classes.get(node.class_type)
    return node_class is not None and name in node_class.inputs and value in node_class.inputs[name].options
