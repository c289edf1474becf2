"""Links that lead nowhere: ComfyUI's validator stumbles over them and words that as an exception of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from comfymesh.graphs import Catalog, JsonValue, Validation, Violation, ViolationType

_TRACE: list[JsonValue] = ['  File "execution.py", line 1, in validate_inputs\n']


@dataclass(frozen=True, slots=True)
class Consumer:
    """The input through which ComfyUI's validator came to a graph node.

    Attributes:
        input_name: Its name.
        input_config: Its type and settings.
        linked_node: The link.
    """

    input_name: str
    input_config: list[JsonValue]
    linked_node: list[JsonValue]


@dataclass(frozen=True, slots=True)
class Stumble:
    """An exception of the validator.

    Attributes:
        exception_type: Its class.
        details: Its text.
    """

    exception_type: str
    details: str

    def as_violation(self, fault: Violation, consumer: Consumer | None) -> Violation:
        """Returns the violation that ComfyUI reports instead of the given one.

        Args:
            fault: What is really wrong.
            consumer: How the validator came there; None for an output, where it begins.
        """
        info: dict[str, JsonValue] = {"exception_type": self.exception_type, "traceback": _TRACE}
        message = "Exception when validating node"
        if consumer is not None:
            message = "Exception when validating inner node"
            info["input_name"] = consumer.input_name
            info["input_config"] = consumer.input_config
            info["exception_message"] = self.details
            info["linked_node"] = consumer.linked_node
        return replace(fault, type=ViolationType.DANGLING_LINK, message=message, details=self.details, extra_info=info)


def stumble_over(faults: list[Violation], catalog: Catalog, *, is_broken: bool) -> Stumble | None:
    """Returns the exception that the violations of one graph node end in, or None.

    Args:
        faults: The violations.
        catalog: Classes of the instance.
        is_broken: Whether the graph node has no inputs at all.
    """
    if is_broken:
        return Stumble("KeyError", "'inputs'")
    for fault in faults:
        link = fault.extra_info.get("linked_node")
        if isinstance(link, list) and fault.type is ViolationType.DANGLING_LINK:
            return _bad_node_id(link[0])
        if isinstance(link, list) and fault.type is ViolationType.NO_SUCH_OUTPUT:
            return _bad_slot(link[1])
        if fault.type is ViolationType.REQUIRED_INPUT_MISSING and _is_upload(fault, catalog):
            missing = f"missing 1 required positional argument: '{fault.input_name}'"
            return Stumble("TypeError", f"{fault.class_type}.VALIDATE_INPUTS() {missing}")
    return None


def _is_upload(fault: Violation, catalog: Catalog) -> bool:
    """Tells whether the class has a check of its own for this input, which is called without it."""
    return catalog.classes[fault.class_type].inputs[str(fault.input_name)].upload is not None


def _bad_node_id(node_id: JsonValue) -> Stumble:
    if isinstance(node_id, (list, dict)):
        return Stumble("TypeError", f"unhashable type: '{type(node_id).__name__}'")
    return Stumble("KeyError", repr(node_id))


def _bad_slot(slot: JsonValue) -> Stumble:
    if isinstance(slot, int):
        return Stumble("IndexError", "tuple index out of range")
    return Stumble("TypeError", f"tuple indices must be integers or slices, not {type(slot).__name__}")


def find_consumer(node_id: str, validation: Validation, catalog: Catalog) -> Consumer | None:
    """Finds an input that leads to a graph node; None for an output that no other graph node reads."""
    for node in validation.graph.nodes.values():
        known = catalog.classes[node.class_type].inputs
        for name, link in node.links():
            if link.node_id == node_id and node.id != node_id and name in known:
                return Consumer(name, known[name].written, [link.node_id, link.slot])
    return None
