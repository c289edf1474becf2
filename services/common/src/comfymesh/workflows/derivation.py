"""Proposes the inputs of a workflow, from a graph and what the classes of its nodes say of theirs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from comfymesh.graphs import MODEL_SUFFIXES, Graph, GraphNode, InputSpec, JsonValue, NodeClass
from comfymesh.v1.workflow_pb2 import InputTarget, WorkflowInput
from comfymesh.workflows.checks import MOST_INPUTS, MOST_OPTIONS, is_name, violations
from comfymesh.workflows.values import LARGEST, NUMBERS, SMALLEST, value_of

_KINDS = {
    "STRING": WorkflowInput.KIND_STRING,
    "INT": WorkflowInput.KIND_INTEGER,
    "FLOAT": WorkflowInput.KIND_FLOAT,
    "BOOLEAN": WorkflowInput.KIND_BOOL,
    "COMBO": WorkflowInput.KIND_ENUM,
}
_UPLOADS = {
    "image": WorkflowInput.KIND_IMAGE,
    "audio": WorkflowInput.KIND_AUDIO,
    "video": WorkflowInput.KIND_VIDEO,
}
_PROMPTS = {"positive": "prompt", "negative": "negative_prompt"}
"""What texts are called by the input that they end in."""

_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 63
_LONGEST_TOOLTIP = 1024


@dataclass(frozen=True, slots=True)
class _Found:
    """An input of a graph node that callers may want to set."""

    node: GraphNode
    name: str
    kind: WorkflowInput.Kind
    spec: InputSpec | None


def derive(graph: Graph, classes: Mapping[str, NodeClass]) -> list[WorkflowInput]:
    """Inputs for everything in a graph that is a plain value and no matter of its author alone.

    None has a default of its own: what the graph holds is the default, in this version and in those with better graphs.
    Left out are model files and what output nodes take, such as the prefixes of file names. Of classes that nobody
    knows, texts and numbers are taken by their looks. What is proposed fits the graph: `violations` finds nothing.

    Args:
        graph: The graph.
        classes: The node classes that are known.
    """
    # No more than a workflow can have are looked at, however many a hostile graph holds.
    found = list(islice((each for node in graph.nodes.values() for each in _inputs(node, classes)), MOST_INPUTS))
    roles = _roles(graph)
    wishes = [_wish(each, roles) for each in found]
    often = Counter(wishes)
    taken: set[str] = set()
    derived = [
        _proposed(each, _free(_name(each, wish, often), taken)) for each, wish in zip(found, wishes, strict=True)
    ]
    return [spec for spec in derived if not violations([spec], graph)]


def _inputs(node: GraphNode, classes: Mapping[str, NodeClass]) -> Iterator[_Found]:
    node_class = classes.get(node.class_type)
    if node_class is not None and node_class.output_node:
        return
    for name, value in node.inputs.items():
        spec = None if node_class is None else node_class.inputs.get(name)
        if node_class is not None and spec is None:
            continue  # ComfyUI ignores what the class does not have.
        kind = _kind_by_looks(value) if spec is None else _kind(spec, node_class)
        if kind and not isinstance(value, list) and not _is_model(value):
            yield _Found(node, name, kind, spec)


def _kind(spec: InputSpec, node_class: NodeClass | None) -> WorkflowInput.Kind:
    if spec.upload is not None:
        only_mask = node_class is not None and tuple(node_class.outputs) == ("MASK",)
        return WorkflowInput.KIND_MASK if only_mask else _UPLOADS.get(spec.upload, WorkflowInput.KIND_UNSPECIFIED)
    return _KINDS.get(spec.type, WorkflowInput.KIND_UNSPECIFIED)


def _kind_by_looks(value: JsonValue) -> WorkflowInput.Kind:
    match value:
        case bool():
            return WorkflowInput.KIND_BOOL
        case int():
            return WorkflowInput.KIND_INTEGER
        case float():
            return WorkflowInput.KIND_FLOAT
        case str():
            return WorkflowInput.KIND_STRING
        case _:
            return WorkflowInput.KIND_UNSPECIFIED


def _is_model(value: JsonValue) -> bool:
    return isinstance(value, str) and value.lower().endswith(MODEL_SUFFIXES)


def _proposed(each: _Found, name: str) -> WorkflowInput:
    config = each.spec.config if each.spec else {}
    made = WorkflowInput(name=name, kind=each.kind, targets=[InputTarget(graph_node=each.node.id, input=each.name)])
    if isinstance(tooltip := config.get("tooltip"), str):
        made.description = tooltip[:_LONGEST_TOOLTIP]
    if each.kind == WorkflowInput.KIND_ENUM and each.spec is not None:
        made.options.extend(_options(each.spec.options))
    if each.kind in NUMBERS:
        _set_range(made, config)
    if each.kind in _UPLOADS.values() or each.kind == WorkflowInput.KIND_MASK:
        # What the graph names is a file on its author's machine.
        made.required = True
    return made


def _options(offered: Sequence[JsonValue]) -> list[str]:
    """The options of a list, where all of them are texts that an input can offer."""
    options = list(dict.fromkeys(option for option in offered if isinstance(option, str)))
    return options if len(options) == len(offered) <= MOST_OPTIONS else []


def _set_range(made: WorkflowInput, config: Mapping[str, JsonValue]) -> None:
    for field, key in (("minimum", "min"), ("maximum", "max")):
        limit = config.get(key)
        if isinstance(limit, bool) or not isinstance(limit, (int, float)):
            continue
        if isinstance(limit, int):
            limit = min(max(limit, SMALLEST), LARGEST)
        elif made.kind == WorkflowInput.KIND_INTEGER:
            continue
        if (value := value_of(limit)) is not None:
            getattr(made, field).CopyFrom(value)


def _roles(graph: Graph) -> dict[str, set[str]]:
    """For each graph node, as which of the prompts what it makes is used in the end."""
    fed_by = {node.id: [link.node_id for _, link in node.links()] for node in graph.nodes.values()}
    roles: dict[str, set[str]] = {}
    for role in _PROMPTS:
        starts = [link.node_id for node in graph.nodes.values() for name, link in node.links() if name.lower() == role]
        for node_id in _upstream(starts, fed_by):
            roles.setdefault(node_id, set()).add(role)
    return roles


def _upstream(starts: Iterable[JsonValue], fed_by: Mapping[str, Sequence[JsonValue]]) -> set[str]:
    seen, waiting = set[str](), list(starts)
    while waiting:
        node_id = waiting.pop()
        if isinstance(node_id, str) and node_id in fed_by and node_id not in seen:
            seen.add(node_id)
            waiting.extend(fed_by[node_id])
    return seen


def _wish(each: _Found, roles: Mapping[str, set[str]]) -> str:
    """What the input would best be called."""
    role = roles.get(each.node.id, set())
    if each.kind == WorkflowInput.KIND_STRING and len(role) == 1 and each.name.startswith(("text", "prompt")):
        return _PROMPTS[next(iter(role))]
    return _word(each.name)


def _name(each: _Found, wish: str, often: Mapping[str, int]) -> str:
    """The wish where nothing else has it; else with the graph node's title, or its id."""
    if often[wish] == 1:
        return wish
    where = _word(each.node.title) if each.node.title and each.node.title != each.node.class_type else ""
    return _word(f"{where}_{wish}" if where else f"{wish}_{each.node.id}")


def _free(name: str, taken: set[str]) -> str:
    """The name, or, where that is taken, one made of it."""
    count = 1
    free = name
    while free in taken:
        count += 1
        free = f"{name[: _LONGEST_NAME - 8]}_{count}"
    taken.add(free)
    return free


def _word(text: str) -> str:
    """A text as a name of an input."""
    word = _NOT_OF_A_NAME.sub("_", text.lower()).strip("_")[:_LONGEST_NAME]
    return word if is_name(word) else f"input_{word}"[:_LONGEST_NAME].rstrip("_")
