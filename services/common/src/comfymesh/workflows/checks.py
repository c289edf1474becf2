"""What the inputs of a workflow must be like, and whether they fit its graph. All that is wrong, at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from comfymesh.graphs import Graph, Hints
from comfymesh.v1.workflow_pb2 import InputTarget, WorkflowInput
from comfymesh.workflows.values import NUMBERS, complaint, is_number, number

MOST_INPUTS = 256
MOST_TARGETS = 64
MOST_OPTIONS = 1024

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LONGEST_DESCRIPTION = 1024
_LONGEST_OPTION = 256
_LONGEST_PART = 128

Complaint = tuple[str, str]
"""Path of a field below the input, and what is wrong with it."""


def is_name(text: str) -> bool:
    """Whether an input can have this name."""
    return _NAME.fullmatch(text) is not None


def violations(specs: Sequence[WorkflowInput], graph: Graph) -> list[Complaint]:
    """Everything that is wrong with the inputs of a workflow, as (path, words), such as `inputs[0].name`."""
    if len(specs) > MOST_INPUTS:
        return [("inputs", f"has {len(specs)} entries, at most {MOST_INPUTS} are allowed")]
    hints = Hints()
    found = [
        (f"inputs[{index}]{path}", words)
        for index, spec in enumerate(specs)
        for path, words in (
            *_texts(spec),
            *_kind(spec),
            *_range(spec),
            *_default(spec, hints),
            *_targets(spec, graph, hints),
        )
    ]
    return [*found, *_twice(specs)]


def _texts(spec: WorkflowInput) -> Iterator[Complaint]:
    if not is_name(spec.name):
        yield ".name", "must be 1 to 63 characters out of a-z0-9_ and begin with a letter"
    if len(spec.description) > _LONGEST_DESCRIPTION:
        yield ".description", f"has {len(spec.description)} characters, at most {_LONGEST_DESCRIPTION} are allowed"


def _kind(spec: WorkflowInput) -> Iterator[Complaint]:
    if spec.kind not in WorkflowInput.Kind.values() or spec.kind == WorkflowInput.KIND_UNSPECIFIED:
        yield ".kind", "is required: string, integer, float, bool, enum, image, mask, audio or video"
    options = spec.options
    if spec.kind != WorkflowInput.KIND_ENUM:
        if options:
            yield ".options", "is for enums only"
    elif not 1 <= len(options) <= MOST_OPTIONS:
        yield ".options", f"has {len(options)} entries; 1 to {MOST_OPTIONS} are needed"
    elif len(set(options)) != len(options):
        yield ".options", "has an entry twice"
    elif not all(1 <= len(option) <= _LONGEST_OPTION for option in options):
        yield ".options", f"must have entries of 1 to {_LONGEST_OPTION} characters"


def _range(spec: WorkflowInput) -> Iterator[Complaint]:
    fine = True
    for field in ("minimum", "maximum"):
        if spec.HasField(field):
            if spec.kind not in NUMBERS:
                yield f".{field}", "is for integers and floats only"
                fine = False
            elif not is_number(getattr(spec, field), integer=spec.kind == WorkflowInput.KIND_INTEGER):
                yield f".{field}", "must be a finite number, for integers an integer"
                fine = False
    both = fine and spec.HasField("minimum") and spec.HasField("maximum")
    if both and number(spec.minimum) > number(spec.maximum):
        yield ".minimum", "is above the maximum"


def _default(spec: WorkflowInput, hints: Hints) -> Iterator[Complaint]:
    if not spec.HasField("default_value"):
        return
    if spec.required:
        yield ".default_value", "is of no use where the input is required"
    # A range that is wrong itself can't be held against it.
    elif not [*_kind(spec), *_range(spec)] and (words := complaint(spec, spec.default_value, hints)):
        yield ".default_value", words


def _targets(spec: WorkflowInput, graph: Graph, hints: Hints) -> Iterator[Complaint]:
    if not 1 <= len(spec.targets) <= MOST_TARGETS:
        yield ".targets", f"has {len(spec.targets)} entries; 1 to {MOST_TARGETS} are needed"
        return
    for index, target in enumerate(spec.targets):
        if words := _misses(target, graph, hints):
            yield f".targets[{index}]", words


def _misses(target: InputTarget, graph: Graph, hints: Hints) -> str:
    node = graph.nodes.get(target.graph_node)
    if node is None:
        return f"the graph has no graph node {target.graph_node[:_LONGEST_PART]!r}{_near(target, graph, hints)}"
    if "." in target.graph_node or not 1 <= len(target.graph_node) <= _LONGEST_PART:
        return f"graph node ids of 1 to {_LONGEST_PART} characters without a dot can be named; rename it in the graph"
    if not 1 <= len(target.input) <= _LONGEST_PART:
        return f"the input's name must have 1 to {_LONGEST_PART} characters"
    value = node.inputs.get(target.input)
    if isinstance(value, list):
        return f"input {target.input!r} of graph node {target.graph_node!r} is fed by a link, which a value would cut"
    return ""


def _near(target: InputTarget, graph: Graph, hints: Hints) -> str:
    near = hints.near(target.graph_node, graph.nodes)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _twice(specs: Iterable[WorkflowInput]) -> Iterator[Complaint]:
    names, places = Counter[str](), Counter[tuple[str, str]]()
    for index, spec in enumerate(specs):
        names[spec.name] += 1
        if names[spec.name] == 2:
            yield f"inputs[{index}].name", f"there is another input {spec.name[:_LONGEST_PART]!r}"
        for target in spec.targets:
            place = (target.graph_node, target.input)
            places[place] += 1
            if places[place] == 2:
                yield f"inputs[{index}].targets", "two inputs, or one twice, go to the same input of a graph node"
