"""Graphs and catalogs: what a workflow says, and whether an instance could run it.

Pure values and functions, no IO. A *graph* is a ComfyUI workflow in API format; a *catalog* is what an
instance answers to ``GET /object_info``. The api checks graphs with this package before a task is accepted,
the emulator answers ``POST /prompt`` with it.

The way through it::

    graph = graphs.parse_graph(text)                       # raises GraphError
    catalog = graphs.Catalog.from_object_info(answer)
    validation = graphs.validate(graph, catalog)           # never raises
    for violation in validation.violations: ...
"""

from comfymesh.graphs.catalog import Catalog, InputSpec, NodeClass
from comfymesh.graphs.checker import Checker
from comfymesh.graphs.counting import holds_more_than
from comfymesh.graphs.errors import GraphError, GraphErrorReason
from comfymesh.graphs.graph import Graph, GraphNode, JsonValue, Link
from comfymesh.graphs.models import MODEL_SUFFIXES, ModelReference, model_references
from comfymesh.graphs.parse import DEFAULT_LIMITS, Limits, parse_graph
from comfymesh.graphs.validate import Validation, validate
from comfymesh.graphs.violations import Hints, Violation, ViolationType
from comfymesh.graphs.work import GraphWork, work

__all__ = [
    "DEFAULT_LIMITS",
    "MODEL_SUFFIXES",
    "Catalog",
    "Checker",
    "Graph",
    "GraphError",
    "GraphErrorReason",
    "GraphNode",
    "GraphWork",
    "Hints",
    "InputSpec",
    "JsonValue",
    "Limits",
    "Link",
    "ModelReference",
    "NodeClass",
    "Validation",
    "Violation",
    "ViolationType",
    "holds_more_than",
    "model_references",
    "parse_graph",
    "validate",
    "work",
]
