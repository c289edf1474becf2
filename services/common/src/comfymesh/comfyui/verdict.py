"""Checks a submitted prompt and words the answer as ComfyUI does (ComfyUI protocol notes, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from comfymesh.comfyui.stumbles import find_consumer, stumble_over
from comfymesh.graphs import Catalog, Graph, GraphNode, JsonValue, Validation, Violation, ViolationType, validate


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a submitted prompt.

    Attributes:
        graph: The graph with converted values.
        outputs: Output graph nodes to run; none when it is refused.
        node_errors: What is wrong with its graph nodes, by id.
        error: Why it is refused, or None.
    """

    graph: dict[str, JsonValue] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    node_errors: dict[str, JsonValue] = field(default_factory=dict)
    error: dict[str, JsonValue] | None = None


def judge(
    prompt: Mapping[str, JsonValue],
    catalog: Catalog,
    targets: Collection[str] | None,
    file_exists: Callable[[str], bool],
) -> Verdict:
    """Checks a prompt.

    Args:
        prompt: The graph as it was sent.
        catalog: Classes of the instance.
        targets: Output graph nodes to run, or None for all.
        file_exists: Tells whether an uploaded file exists.

    Raises:
        TypeError: A graph node is not an object; ComfyUI answers 500.
    """
    _refuse_shapeless(prompt)
    missing = _first_missing_class(prompt, catalog)
    if missing is not None:
        return Verdict(error=missing)
    graph = Graph({node_id: _node(node_id, node) for node_id, node in prompt.items()})
    validation = validate(graph, catalog, targets=targets, file_exists=file_exists)
    broken = [node_id for node_id, node in prompt.items() if isinstance(node, dict) and "inputs" not in node]
    return _verdict(prompt, validation, catalog, broken)


def _refuse_shapeless(prompt: Mapping[str, JsonValue]) -> None:
    for node_id, node in prompt.items():
        if not isinstance(node, dict):
            raise TypeError(f"graph node {node_id} is not an object")
        if not isinstance(node.get("inputs", {}), dict):
            raise TypeError(f"the inputs of graph node {node_id} are not an object")


def _first_missing_class(prompt: Mapping[str, JsonValue], catalog: Catalog) -> dict[str, JsonValue] | None:
    for node_id, node in prompt.items():
        assert isinstance(node, dict)
        meta = node.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        if "class_type" not in node:
            message = (
                f"Node '{title or f'ID #{node_id}'}' has no class_type. The workflow may be corrupted or a custom "
                "node is missing."
            )
            return _missing_class(node_id, None, title, message)
        class_type = node["class_type"]
        if class_type not in catalog.classes:
            title = class_type if title is None else title
            message = f"Node '{title}' not found. The custom node may not be installed."
            return _missing_class(node_id, class_type, title, message)
    return None


def _missing_class(node_id: str, class_type: JsonValue, title: JsonValue, message: str) -> dict[str, JsonValue]:
    info: dict[str, JsonValue] = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return error("missing_node_type", message, f"Node ID '#{node_id}'", info)


def _node(node_id: str, node: JsonValue) -> GraphNode:
    assert isinstance(node, dict)
    inputs = node.get("inputs")
    return GraphNode(node_id, str(node["class_type"]), inputs if isinstance(inputs, dict) else {})


def _verdict(prompt: Mapping[str, JsonValue], validation: Validation, catalog: Catalog, broken: list[str]) -> Verdict:
    if not validation.runnable_outputs and not validation.refused_outputs:
        return Verdict(error=error("prompt_no_outputs", "Prompt has no outputs"))
    by_node = _errors_by_node(validation, catalog, broken)
    node_errors = {node_id: _node_error(faults) for node_id, faults in by_node.items()}
    if validation.runnable_outputs:
        graph = {node_id: _converted(node, validation.graph.nodes[node_id]) for node_id, node in prompt.items()}
        return Verdict(graph, validation.runnable_outputs, node_errors)
    details = "\n".join(
        f"{fault.message}: {fault.details}"
        for output in validation.refused_outputs
        for fault in by_node.get(output, [])
    )
    refused = error("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)
    return Verdict(node_errors=node_errors, error=refused)


def _errors_by_node(validation: Validation, catalog: Catalog, broken: list[str]) -> dict[str, list[Violation]]:
    """Sorts by graph node what ComfyUI sees. A violation that makes its validator stumble hides others there."""
    by_node: dict[str, list[Violation]] = {}
    for fault in _seen(validation):
        by_node.setdefault(str(fault.node_id), []).append(fault)
    for node_id, faults in by_node.items():
        stumble = stumble_over(faults, catalog, is_broken=node_id in broken)
        if stumble is not None:
            consumer = find_consumer(node_id, validation, catalog)
            by_node[node_id] = [stumble.as_violation(faults[0], consumer)]
    return by_node


def _seen(validation: Validation) -> list[Violation]:
    """Leaves out what lies behind links of the wrong type: ComfyUI's validator does not follow them."""
    mismatched = {
        (fault.node_id, fault.input_name)
        for fault in validation.violations
        if fault.type is ViolationType.RETURN_TYPE_MISMATCH
    }
    if not mismatched:
        return list(validation.violations)
    seen: set[str] = set()
    waiting = [*validation.runnable_outputs, *validation.refused_outputs]
    while waiting:
        node_id = waiting.pop()
        if node_id in seen or node_id not in validation.graph.nodes:
            continue
        seen.add(node_id)
        links = validation.graph.nodes[node_id].links()
        waiting.extend(str(link.node_id) for name, link in links if (node_id, name) not in mismatched)
    return [
        fault for fault in validation.violations if fault.node_id in seen and not _is_cut(fault, validation, mismatched)
    ]


def _is_cut(fault: Violation, validation: Validation, mismatched: set[tuple[str | None, str | None]]) -> bool:
    """Tells whether a cycle is one only by a link of the wrong type."""
    cycle = fault.extra_info.get("cycle_nodes")
    if fault.type is not ViolationType.DEPENDENCY_CYCLE or not isinstance(cycle, list):
        return False
    steps = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    return any(
        all(
            (consumer, name) in mismatched
            for name, link in validation.graph.nodes[str(consumer)].links()
            if link.node_id == source
        )
        for consumer, source in steps
    )


def _node_error(faults: list[Violation]) -> JsonValue:
    return {
        "errors": [_written(fault) for fault in faults],
        "dependent_outputs": list[JsonValue](faults[0].dependent_outputs),
        "class_type": faults[0].class_type,
    }


def _written(fault: Violation) -> dict[str, JsonValue]:
    kind = fault.type.value
    if fault.type is ViolationType.DANGLING_LINK:
        inner = "inner " in fault.message
        kind = "exception_during_inner_validation" if inner else "exception_during_validation"
    return error(kind, fault.message, fault.details, dict(fault.extra_info))


def _converted(node: JsonValue, checked: GraphNode) -> JsonValue:
    return {**node, "inputs": dict(checked.inputs)} if isinstance(node, dict) and "inputs" in node else node


def error(
    kind: str, message: str, details: str = "", extra_info: dict[str, JsonValue] | None = None
) -> dict[str, JsonValue]:
    """Returns an error as ComfyUI writes it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info or {}}
