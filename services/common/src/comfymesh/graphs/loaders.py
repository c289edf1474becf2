"""What loads a model file by itself: a node class that needs nothing but the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfymesh.graphs.catalog import COMBO

if TYPE_CHECKING:
    from comfymesh.graphs.catalog import Catalog, InputSpec, NodeClass


def loaders(catalog: Catalog, file: str) -> list[tuple[str, str]]:
    """Returns class and input of all that load a file with no other graph node, the one that asks for least first.

    ComfyUI keeps what a class has loaded for graphs that load it by the same class with the same values, so which one
    is taken matters. A class with one input leaves no choice of values; of several such, the first by name is taken.
    """
    found = [
        (node_class, spec.name)
        for node_class in catalog.classes.values()
        for spec in node_class.inputs.values()
        if spec.upload is None and file in spec.options and stands_alone(node_class, spec.name)
    ]
    found.sort(key=lambda each: (len(_required(each[0])), each[0].name, each[1]))
    return [(node_class.name, name) for node_class, name in found]


def stands_alone(node_class: NodeClass, given: str) -> bool:
    """Tells whether all that the class requires but `given` has a value by itself."""
    return given in node_class.inputs and all(spec.name == given or _has_value(spec) for spec in _required(node_class))


def _required(node_class: NodeClass) -> list[InputSpec]:
    return [spec for spec in node_class.inputs.values() if spec.required]


def _has_value(spec: InputSpec) -> bool:
    return "default" in spec.config or (spec.type == COMBO and bool(spec.options))
