"""Checks a graph against a catalog and reports everything that is wrong with it at once.

ComfyUI's own validator stops at the first missing class and hides what it cannot reach; this one finds the
same violations, in the same words (ComfyUI protocol notes, section 4), and all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeGuard

from comfymesh.graphs.graph import Graph, GraphNode, JsonValue, Link
from comfymesh.graphs.models import ModelReference, model_references
from comfymesh.graphs.sockets import fits, is_dynamic
from comfymesh.graphs.values import FileExists, check_value
from comfymesh.graphs.violations import Hints, Violation, ViolationType, about_input, input_missing
from comfymesh.graphs.walk import dependents, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from comfymesh.graphs.catalog import Catalog, InputSpec, NodeClass
    from comfymesh.graphs.structures import Sound


@dataclass(frozen=True, slots=True)
class Validation:
    """What a check found.

    Attributes:
        graph: The graph with plain values converted to the types of their inputs.
        violations: Everything that is wrong, in the order of the graph; empty when it could run as a whole.
        runnable_outputs: Output graph nodes that would run, in the order of the graph.
        refused_outputs: Output graph nodes that would be left out.
        models: Model files that the graph names.
        reached: Graph nodes that an output needs; the others never run.
        sound: What is remembered of the graph's structure; None where nothing is.
    """

    graph: Graph
    violations: tuple[Violation, ...]
    runnable_outputs: tuple[str, ...]
    refused_outputs: tuple[str, ...]
    models: tuple[ModelReference, ...]
    reached: frozenset[str]
    sound: Sound | None = field(default=None, compare=False, repr=False)

    @property
    def is_partial(self) -> bool:
        """Whether ComfyUI would accept the graph and silently run only a part of it."""
        return bool(self.violations) and bool(self.runnable_outputs)


def validate(
    graph: Graph,
    catalog: Catalog,
    *,
    targets: Collection[str] | None = None,
    file_exists: FileExists | None = None,
) -> Validation:
    """Checks a graph against a catalog.

    Only graph nodes that an output needs are checked, as ComfyUI does; a class that is missing anywhere is
    reported, since ComfyUI refuses the whole graph for it.

    Args:
        graph: The graph.
        catalog: Classes and files of the instance.
        targets: Output graph nodes that shall run; None for all (``partial_execution_targets``).
        file_exists: Tells whether a file named by an upload input exists; None leaves those inputs unchecked,
            which is right for whoever will upload the files later.
    """
    outputs = _outputs(graph, catalog, targets)
    hints = Hints()
    missing = [
        _missing_class(node, catalog, hints) for node in graph.nodes.values() if node.class_type not in catalog.classes
    ]
    sources = {node.id: _sources(node, graph, catalog) for node in graph.nodes.values()}
    found = walk(sources, outputs)
    reached = set(found.finished)
    checks = [
        _check_node(node, graph, catalog, file_exists, hints) for node in graph.nodes.values() if node.id in reached
    ]
    faults = [
        *missing,
        *_cycles(graph, found.cycles),
        *(fault for check in checks for fault in check.violations),
    ]
    needed_by = dependents(sources, outputs, found.finished) if faults else {}
    violations = tuple(_with_dependents(fault, needed_by) for fault in faults)
    refused = {output for fault in violations for output in fault.dependent_outputs}
    runnable = () if missing else tuple(output for output in outputs if output not in refused)
    return Validation(
        graph=graph.with_inputs({key: value for check in checks for key, value in check.values.items()}),
        violations=violations if outputs or missing else (_NO_OUTPUTS,),
        runnable_outputs=runnable,
        refused_outputs=tuple(output for output in outputs if output not in runnable),
        models=model_references(graph, catalog),
        reached=frozenset(reached),
    )


_NO_OUTPUTS = Violation(ViolationType.PROMPT_NO_OUTPUTS, "Prompt has no outputs")


@dataclass(frozen=True, slots=True)
class _NodeCheck:
    violations: tuple[Violation, ...]
    values: Mapping[tuple[str, str], JsonValue]


def _outputs(graph: Graph, catalog: Catalog, targets: Collection[str] | None) -> list[str]:
    return [
        node.id
        for node in graph.nodes.values()
        if (node_class := catalog.classes.get(node.class_type)) is not None
        and node_class.output_node
        and (targets is None or node.id in targets)
    ]


def _sources(node: GraphNode, graph: Graph, catalog: Catalog) -> list[str]:
    """Returns what feeds a graph node, by inputs that its class has: ComfyUI ignores others, links included."""
    node_class = catalog.classes.get(node.class_type)
    found = (link.node_id for name, link in node.links() if node_class is None or _has_input(node_class, name))
    return list(dict.fromkeys(source for source in found if isinstance(source, str) and source in graph.nodes))


def _has_input(node_class: NodeClass, name: str) -> bool:
    return name in node_class.inputs or any(is_dynamic(spec.type) for spec in node_class.inputs.values())


def _missing_class(node: GraphNode, catalog: Catalog, hints: Hints) -> Violation:
    name = node.title if node.title is not None else node.class_type
    return Violation(
        ViolationType.MISSING_NODE_TYPE,
        f"Node '{name}' not found. The custom node may not be installed.",
        f"Node ID '#{node.id}'",
        node_id=node.id,
        class_type=node.class_type,
        extra_info={"node_id": node.id, "class_type": node.class_type, "node_title": name},
        nearest=hints.near(node.class_type, catalog.classes),
    )


def _cycles(graph: Graph, cycles: list[list[str]]) -> Iterator[Violation]:
    for cycle in cycles:
        path = " -> ".join(f"{node_id} ({graph.nodes[node_id].class_type})" for node_id in [*cycle, cycle[0]])
        for node_id in cycle:
            yield Violation(
                ViolationType.DEPENDENCY_CYCLE,
                "Dependency cycle detected",
                path,
                node_id=node_id,
                class_type=graph.nodes[node_id].class_type,
                extra_info={"node_id": node_id, "cycle_nodes": list[JsonValue](cycle)},
            )


def _check_node(
    node: GraphNode, graph: Graph, catalog: Catalog, file_exists: FileExists | None, hints: Hints
) -> _NodeCheck:
    violations: list[Violation] = []
    values: dict[tuple[str, str], JsonValue] = {}
    node_class = catalog.classes.get(node.class_type)
    for spec in node_class.inputs.values() if node_class is not None else ():
        if is_dynamic(spec.type):
            continue
        if spec.name not in node.inputs:
            violations += [input_missing(spec)] if spec.required else []
        elif isinstance(value := node.inputs[spec.name], list):
            violations += _check_link(spec, value, graph, catalog)
        else:
            checked = check_value(spec, value, file_exists, hints)
            if checked.value is not value:
                values[node.id, spec.name] = checked.value
            violations += [] if checked.violation is None else [checked.violation]
    located = (replace(fault, node_id=node.id, class_type=node.class_type) for fault in violations)
    return _NodeCheck(tuple(located), values)


def _check_link(spec: InputSpec, value: list[JsonValue], graph: Graph, catalog: Catalog) -> list[Violation]:
    if len(value) != 2:
        message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
        return [about_input(ViolationType.BAD_LINKED_INPUT, message, spec.name, spec, received_value=value)]
    link = Link(value[0], value[1])
    source = graph.nodes.get(link.node_id) if isinstance(link.node_id, str) else None
    if source is None:
        return [_leads_nowhere(ViolationType.DANGLING_LINK, spec, value, f"no graph node {link.node_id!r}")]
    source_class = catalog.classes.get(source.class_type)
    if source_class is None:
        return []
    slot = link.slot
    if not _is_output_of(slot, source_class):
        have = f"{source.class_type} has {len(source_class.outputs)} outputs, none at {slot!r}"
        return [_leads_nowhere(ViolationType.NO_SUCH_OUTPUT, spec, value, have)]
    return _check_types(spec, value, source_class.outputs[slot])


def _is_output_of(slot: JsonValue, node_class: NodeClass) -> TypeGuard[int]:
    count = len(node_class.outputs)
    return isinstance(slot, int) and -count <= slot < count


def _leads_nowhere(kind: ViolationType, spec: InputSpec, value: list[JsonValue], why: str) -> Violation:
    return about_input(kind, "Link leads nowhere", f"{spec.name}, {why}", spec, linked_node=value)


def _check_types(spec: InputSpec, value: list[JsonValue], produced: JsonValue) -> list[Violation]:
    if fits(produced, spec.written_type):
        return []
    return [
        about_input(
            ViolationType.RETURN_TYPE_MISMATCH,
            "Return type mismatch between linked nodes",
            f"{spec.name}, received_type({produced}) mismatch input_type({spec.written_type})",
            spec,
            received_type=produced,
            linked_node=value,
        )
    ]


def _with_dependents(fault: Violation, needed_by: Mapping[str, tuple[str, ...]]) -> Violation:
    return replace(fault, dependent_outputs=needed_by.get(fault.node_id or "", ()))
