"""Everything that is wrong with a graph as the fleet is now, and what ComfyUI would leave out or ignore unasked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from comfymesh import graphs
from comfymesh.graphs import Catalog, Graph, GraphNode, Hints, Validation, ViolationType
from comfymesh.graphs.sockets import is_dynamic
from comfymesh.v1.workflow_pb2 import WorkflowViolation

INPUT_INVALID = "input_invalid"
"""The type of what is wrong with a workflow's own input."""

_UNUSED = "unused_graph_node"
_UNKNOWN = "unknown_input"


@dataclass(frozen=True, slots=True)
class Offered:
    """A catalog, and how many instances have it."""

    catalog: Catalog
    instances: int


@dataclass(frozen=True, slots=True)
class Review:
    """What was found.

    Attributes:
        violations: Errors first, else in the order of the graph.
        runnable_outputs: Output graph nodes that would run.
        dropped_outputs: Output graph nodes that would be left out.
        able: How many instances could run the graph as a whole.
        instances: How many have told what they offer.
    """

    violations: tuple[WorkflowViolation, ...] = ()
    runnable_outputs: tuple[str, ...] = ()
    dropped_outputs: tuple[str, ...] = ()
    able: int = 0
    instances: int = 0


def review(graph: Graph, fleet: Sequence[Offered], origins: Mapping[tuple[str, str], str]) -> Review:
    """Look at a graph as each catalog of the fleet sees it, and tell what the one says that likes it best.

    Args:
        graph: The graph, inputs set.
        fleet: Every catalog once.
        origins: Which of the workflow's inputs goes to an input of a graph node.
    """
    if not fleet:
        return Review()
    seen = [(offered, graphs.validate(graph, offered.catalog)) for offered in fleet]
    offered, best = min(seen, key=lambda pair: len(pair[1].violations))
    errors = [_error(violation, fleet, origins) for violation in best.violations]
    return Review(
        violations=(*errors, *_warnings(best, offered.catalog, origins)),
        runnable_outputs=best.runnable_outputs,
        dropped_outputs=best.refused_outputs,
        able=sum(offered.instances for offered, validation in seen if not validation.violations),
        instances=sum(offered.instances for offered in fleet),
    )


def input_violation(name: str, words: str) -> WorkflowViolation:
    """What is wrong with one of a workflow's inputs."""
    severity = WorkflowViolation.SEVERITY_ERROR
    return WorkflowViolation(severity=severity, type=INPUT_INVALID, message=words, workflow_input=name)


def _error(
    violation: graphs.Violation, fleet: Iterable[Offered], origins: Mapping[tuple[str, str], str]
) -> WorkflowViolation:
    place = (violation.node_id or "", violation.input_name or "")
    return WorkflowViolation(
        severity=WorkflowViolation.SEVERITY_ERROR,
        type=violation.type,
        message=f"{violation.message}: {violation.details}" if violation.details else violation.message,
        graph_node=place[0],
        graph_node_class=violation.class_type,
        input=place[1],
        workflow_input=origins.get(place, ""),
        nearest=violation.nearest,
        dropped_outputs=violation.dependent_outputs,
        offering_instance_count=sum(each.instances for each in fleet if _offers(each.catalog, violation)),
    )


def _offers(catalog: Catalog, violation: graphs.Violation) -> bool:
    """Whether a catalog has what is missing elsewhere."""
    node_class = catalog.classes.get(violation.class_type)
    if node_class is None:
        return False
    if violation.type is ViolationType.MISSING_NODE_TYPE:
        return True
    spec = node_class.inputs.get(violation.input_name or "")
    wanted = violation.extra_info.get("received_value")
    return violation.type is ViolationType.VALUE_NOT_IN_LIST and spec is not None and wanted in spec.options


def _warnings(
    validation: Validation, catalog: Catalog, origins: Mapping[tuple[str, str], str]
) -> Iterator[WorkflowViolation]:
    hints = Hints()
    has_outputs = bool(validation.runnable_outputs or validation.refused_outputs)
    for node in validation.graph.nodes.values():
        node_class = catalog.classes.get(node.class_type)
        if node_class is None:
            continue
        if has_outputs and node.id not in validation.reached:
            yield _unused(node)
        # Which inputs a class has that takes dynamic ones is known to nobody but itself.
        if any(is_dynamic(spec.type) for spec in node_class.inputs.values()):
            continue
        for name in node.inputs:
            if name not in node_class.inputs:
                yield _unknown(node, name, hints.near(name, node_class.inputs), origins)


def _unused(node: GraphNode) -> WorkflowViolation:
    return WorkflowViolation(
        severity=WorkflowViolation.SEVERITY_WARNING,
        type=_UNUSED,
        message="no output needs this graph node, so ComfyUI does not run it and nothing of it is kept; "
        "connect it to an output such as SaveImage, or leave it out",
        graph_node=node.id,
        graph_node_class=node.class_type,
    )


def _unknown(
    node: GraphNode, name: str, nearest: tuple[str, ...], origins: Mapping[tuple[str, str], str]
) -> WorkflowViolation:
    return WorkflowViolation(
        severity=WorkflowViolation.SEVERITY_WARNING,
        type=_UNKNOWN,
        message="the class has no such input, so ComfyUI ignores its value",
        graph_node=node.id,
        graph_node_class=node.class_type,
        input=name,
        workflow_input=origins.get((node.id, name), ""),
        nearest=nearest,
    )
