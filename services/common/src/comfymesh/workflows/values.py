"""Which values an input of a workflow takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from comfymesh.graphs import Hints
from comfymesh.v1.task_pb2 import InputValue
from comfymesh.v1.workflow_pb2 import WorkflowInput

FILES = frozenset(
    {WorkflowInput.KIND_IMAGE, WorkflowInput.KIND_MASK, WorkflowInput.KIND_AUDIO, WorkflowInput.KIND_VIDEO}
)
"""Kinds that take a file."""

NUMBERS = frozenset({WorkflowInput.KIND_INTEGER, WorkflowInput.KIND_FLOAT})
"""Kinds that can have a range."""

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""The integers that an InputValue can hold."""

_INTEGERS = ("int64_value", "uint64_value")
_TAKEN = {
    WorkflowInput.KIND_STRING: ("string_value",),
    WorkflowInput.KIND_ENUM: ("string_value",),
    WorkflowInput.KIND_INTEGER: _INTEGERS,
    WorkflowInput.KIND_FLOAT: ("double_value", *_INTEGERS),
    WorkflowInput.KIND_BOOL: ("bool_value",),
    **dict.fromkeys(FILES, ("asset", "url")),
}
_WORDS = {
    WorkflowInput.KIND_STRING: "a text",
    WorkflowInput.KIND_ENUM: "one of its options",
    WorkflowInput.KIND_INTEGER: "an integer",
    WorkflowInput.KIND_FLOAT: "a number",
    WorkflowInput.KIND_BOOL: "true or false",
    **dict.fromkeys(FILES, "a file: an asset or a URL"),
}
_SHOWN = 8
_LONGEST_SHOWN = 80


def complaint(spec: WorkflowInput, value: InputValue, hints: Hints) -> str:
    """What is wrong with a value for an input, in words; empty where nothing is."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return "has no value"
    if kind not in _TAKEN.get(spec.kind, ()):
        return f"must be {_WORDS.get(spec.kind, 'of a kind that is known')}, not {shown(value)}"
    if kind == "double_value" and not math.isfinite(value.double_value):
        return f"{value.double_value} is a number that no graph can hold"
    if spec.kind in NUMBERS:
        return _out_of_range(spec, number(value))
    if spec.kind == WorkflowInput.KIND_ENUM and value.string_value not in spec.options:
        return f"{shown(value)} is none of its options; {_instead(value.string_value, spec.options, hints)}"
    return ""


def number(value: InputValue) -> int | float:
    """The number in a value that holds one. Integers keep all their digits."""
    found: int | float = getattr(value, str(value.WhichOneof("kind")))
    return found


def is_number(value: InputValue, *, integer: bool) -> bool:
    """Whether a value is a number that a graph can hold."""
    kind = value.WhichOneof("kind")
    return kind in _INTEGERS or (kind == "double_value" and not integer and math.isfinite(value.double_value))


def value_of(plain: object) -> InputValue | None:
    """A plain value of a graph as a message; None where no message can hold it."""
    match plain:
        case bool():
            return InputValue(bool_value=plain)
        case int() if SMALLEST <= plain < 2**63:
            return InputValue(int64_value=plain)
        case int() if 0 <= plain <= LARGEST:
            return InputValue(uint64_value=plain)
        case float() if math.isfinite(plain):
            return InputValue(double_value=plain)
        case str():
            return InputValue(string_value=plain)
        case _:
            return None


def shown(value: InputValue) -> str:
    """A value for a sentence: short, on one line."""
    kind = value.WhichOneof("kind")
    return repr(getattr(value, kind))[:_LONGEST_SHOWN] if kind else "nothing"


def _out_of_range(spec: WorkflowInput, given: float) -> str:
    # A bound that is none, of inputs that were not checked, is not held against the value.
    if is_number(spec.minimum, integer=False) and given < number(spec.minimum):
        return f"{given} is smaller than {number(spec.minimum)}, the smallest that is allowed"
    if is_number(spec.maximum, integer=False) and given > number(spec.maximum):
        return f"{given} is larger than {number(spec.maximum)}, the largest that is allowed"
    return ""


def _instead(given: str, options: Sequence[str], hints: Hints) -> str:
    if near := hints.near(given, options):
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(options) - _SHOWN} more" if len(options) > _SHOWN else ""
    return f"there are {', '.join(option[:_LONGEST_SHOWN] for option in options[:_SHOWN])}{more}"
