"""Inputs that a request sets and that ComfyUI would ignore: names that are most likely misspelt. Pure.

ComfyUI passes over what a class has not declared, without a word, unless it is a link. Callers may count on that: a
value that nothing reads has a graph node run anew. And some classes take what `/object_info` does not show: custom
nodes whose inputs are a dict that holds every name, and those of ComfyUI's newer API that accept all inputs. So only
that is refused which can hardly be anything but a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comfymesh.api.errors import Violation
from comfymesh.api.inputs import Place, field_of
from comfymesh.graphs import Catalog, Graph, Hints, NodeClass
from comfymesh.graphs.sockets import is_dynamic

_TAKE_WHAT_THEY_DECLARE = "nodes"
"""The Python module of ComfyUI's oldest classes, whose inputs are all declared."""


def violations(graph: Graph, added: Iterable[Place], catalogs: Iterable[Catalog]) -> Iterator[Violation]:
    """Each input that no instance has, where all that have its class have another of nearly that name.

    Args:
        graph: With the inputs that the request gives.
        added: Of these, the ones that the graph itself does not have. What it has is its author's business.
        catalogs: What instances offer.
    """
    known, hints = list(catalogs), Hints()
    for graph_node, name in added:
        of_class = graph.nodes[graph_node].class_type
        classes = [catalog.classes[of_class] for catalog in known if of_class in catalog.classes]
        if not classes or any(_may_take(name, each) for each in classes):
            continue
        if near := hints.near(name, classes[0].inputs):
            words = f"{of_class} has no such input, and ComfyUI would ignore it; did you mean {' or '.join(near)}?"
            yield Violation(field_of((graph_node, name)), words)


def _may_take(name: str, node_class: NodeClass) -> bool:
    return (
        name in node_class.inputs
        or node_class.python_module != _TAKE_WHAT_THEY_DECLARE
        or any(is_dynamic(spec.type) for spec in node_class.inputs.values())
    )
