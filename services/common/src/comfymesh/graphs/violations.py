"""What can be wrong with a graph that is well-formed: a violation is a value that explains itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from comfymesh.graphs.catalog import InputSpec
    from comfymesh.graphs.graph import JsonValue

_LONGEST_NAME_COMPARED = 200
_MOST_NAMES_COMPARED = 5_000
_LONGEST_LIST_SHOWN = 20


class ViolationType(StrEnum):
    """Kinds of violation.

    The values are ComfyUI's own (ComfyUI protocol notes, section 4), except the last two: ComfyUI stumbles
    over these links and answers ``exception_during_validation``.
    """

    MISSING_NODE_TYPE = "missing_node_type"
    PROMPT_NO_OUTPUTS = "prompt_no_outputs"
    REQUIRED_INPUT_MISSING = "required_input_missing"
    BAD_LINKED_INPUT = "bad_linked_input"
    RETURN_TYPE_MISMATCH = "return_type_mismatch"
    INVALID_INPUT_TYPE = "invalid_input_type"
    VALUE_SMALLER_THAN_MIN = "value_smaller_than_min"
    VALUE_BIGGER_THAN_MAX = "value_bigger_than_max"
    VALUE_NOT_IN_LIST = "value_not_in_list"
    CUSTOM_VALIDATION_FAILED = "custom_validation_failed"
    DEPENDENCY_CYCLE = "dependency_cycle"
    DANGLING_LINK = "dangling_link"
    NO_SUCH_OUTPUT = "no_such_output"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that keeps a graph, or a part of it, from running.

    Attributes:
        type: What kind it is.
        message: ComfyUI's sentence for the kind.
        details: What exactly, in ComfyUI's words.
        node_id: The graph node, or None when the whole graph is meant.
        class_type: Class of that graph node, or an empty string.
        input_name: The input, or None when the whole graph node is meant.
        extra_info: ComfyUI's further data about it.
        dependent_outputs: Output graph nodes that cannot run because of it.
        nearest: Names close to a missing one, best first: classes, or values of a list such as model files.
    """

    type: ViolationType
    message: str
    details: str = ""
    node_id: str | None = None
    class_type: str = ""
    input_name: str | None = None
    extra_info: Mapping[str, JsonValue] = field(default_factory=dict)
    dependent_outputs: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()


class Hints:
    """Finds names that resemble one that is not known, for the first few who ask.

    Each takes up to 20 ms of CPU among 641 names (Python 3.11's difflib), and a hostile graph asks thousands of times.
    """

    def __init__(self, most: int = 8) -> None:
        self._left = most

    def near(self, name: str, known: Collection[str]) -> tuple[str, ...]:
        """Returns up to three known names that resemble the given one, best first; none for those who ask too late."""
        if self._left <= 0:
            return ()
        self._left -= 1
        return _nearest_names(name, known)


def _nearest_names(name: str, known: Collection[str]) -> tuple[str, ...]:
    if len(name) > _LONGEST_NAME_COMPARED or len(known) > _MOST_NAMES_COMPARED:
        return ()
    plain = {candidate.lower(): candidate for candidate in known}
    return tuple(plain[match] for match in get_close_matches(name.lower(), plain, n=3, cutoff=0.6))


def about_input(kind: ViolationType, message: str, details: str, spec: InputSpec, **extra: JsonValue) -> Violation:
    """Returns a violation of one input; the graph node is filled in by whoever walks the graph."""
    info: dict[str, JsonValue] = {"input_name": spec.name, "input_config": spec.written, **extra}
    return Violation(kind, message, details, input_name=spec.name, extra_info=info)


def input_missing(spec: InputSpec) -> Violation:
    """Returns the violation of a required input that a graph does not give."""
    return Violation(
        ViolationType.REQUIRED_INPUT_MISSING,
        "Required input is missing",
        spec.name,
        input_name=spec.name,
        extra_info={"input_name": spec.name},
    )


def not_in_list(spec: InputSpec, value: JsonValue, wrong: list[JsonValue], hints: Hints) -> Violation:
    """Returns the violation of a value that a list does not offer, such as a missing model file."""
    short = len(spec.options) <= _LONGEST_LIST_SHOWN
    offered = str(list(spec.options)) if short else f"(list of length {len(spec.options)})"
    return Violation(
        ViolationType.VALUE_NOT_IN_LIST,
        "Value not in list",
        f"{spec.name}: {', '.join(repr(item) for item in wrong)} not in {offered}",
        input_name=spec.name,
        extra_info={
            "input_name": spec.name,
            "input_config": spec.written if short else None,
            "received_value": value,
        },
        nearest=hints.near(str(wrong[0]), [str(option) for option in spec.options]),
    )


def upload_missing(spec: InputSpec, value: JsonValue) -> Violation:
    """Returns the violation of an input that names a file which was not uploaded."""
    return Violation(
        ViolationType.CUSTOM_VALIDATION_FAILED,
        "Custom validation failed for node",
        f"{spec.name} - Invalid {spec.upload} file: {value}",
        input_name=spec.name,
        extra_info={"input_name": spec.name},
    )
