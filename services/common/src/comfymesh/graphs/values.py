"""Checks of plain values (widgets): conversion, range, list."""

from __future__ import annotations

import math
import posixpath
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfymesh.graphs.catalog import COMBO, InputSpec
from comfymesh.graphs.violations import (
    Hints,
    Violation,
    ViolationType,
    about_input,
    not_in_list,
    upload_missing,
)

if TYPE_CHECKING:
    from comfymesh.graphs.graph import JsonValue

_ANNOTATION = re.compile(r"\s?\[(?:input|output|temp)\]\Z")
_DRIVE = re.compile(r"[A-Za-z]:/")

FileExists = Callable[[str], bool]
Surely = Callable[["JsonValue"], bool]
"""Tells whether a plain value is right as it is; where it says no, the value may be right all the same."""

_MOST_SEEN = 64


@dataclass(frozen=True, slots=True)
class CheckedValue:
    """A value after its check: converted to the input's type, or with what is wrong about it."""

    value: JsonValue
    violation: Violation | None = None


def check_value(spec: InputSpec, value: JsonValue, file_exists: FileExists | None, hints: Hints) -> CheckedValue:
    """Checks and converts one plain value as ComfyUI does: ``"5"`` becomes 5 for an INT.

    Args:
        spec: The input.
        value: What the graph gives; not a link.
        file_exists: Tells whether a named upload exists; None leaves uploads unchecked.
        hints: Finds values that may be meant.
    """
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    try:
        value = _converted(spec.type, value)
    except (TypeError, ValueError, OverflowError) as error:
        return CheckedValue(value, _not_convertible(spec, value, error))
    if spec.upload is not None:
        return CheckedValue(value, _check_upload(spec, value, file_exists))
    return CheckedValue(value, _check_range(spec, value) or _check_list(spec, value, hints))


def surely(spec: InputSpec) -> Surely:
    """What knows values of an input that `check_value` would leave alone and find nothing wrong with.

    Only values of the very type are known, not what can be converted to it, and not `true` for a number.
    """
    if spec.upload is not None:
        return _never
    low, high = (spec.config.get(name) for name in ("min", "max"))
    match spec.type:
        case "INT":
            return _Within(int, low, high)
        case "FLOAT":
            return _Within(float, low, high)
        case "STRING":
            return lambda value: type(value) is str
        case "BOOLEAN" if low is None and high is None:
            return lambda value: type(value) is bool
        case kind if kind == COMBO:
            return _Listed(spec.options)
        case _:
            return _never


def _never(_: JsonValue) -> bool:
    return False


class _Within:
    """Knows numbers of a type within a range. Neither NaN nor infinity is within one."""

    def __init__(self, kind: type[int | float], low: JsonValue, high: JsonValue) -> None:
        self._kind = kind
        self._low = low if isinstance(low, (int, float)) else -sys.float_info.max
        self._high = high if isinstance(high, (int, float)) else sys.float_info.max

    def __call__(self, value: JsonValue) -> bool:
        return type(value) is self._kind and self._low <= value <= self._high


class _Listed:
    """Knows texts of a list, which may be long: those that were asked for are found at once."""

    def __init__(self, options: tuple[JsonValue, ...]) -> None:
        self._options = options
        self._seen: set[str] = set()

    def __call__(self, value: JsonValue) -> bool:
        if type(value) is not str:
            return False
        if value in self._seen:
            return True
        if value not in self._options:
            return False
        if len(self._seen) < _MOST_SEEN:
            self._seen.add(value)
        return True


def _converted(kind: str, value: JsonValue) -> JsonValue:
    match kind:
        case "INT":
            return int(value)  # type: ignore[arg-type]
        case "FLOAT":
            return _finite(float(value))  # type: ignore[arg-type]
        case "STRING":
            return str(value)
        case "BOOLEAN":
            return bool(value)
        case _:
            return value


def _finite(number: float) -> float:
    """ComfyUI takes the text "nan", but it could not be written into a graph again."""
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _not_convertible(spec: InputSpec, value: JsonValue, error: Exception) -> Violation:
    return about_input(
        ViolationType.INVALID_INPUT_TYPE,
        f"Failed to convert an input value to a {spec.type} value",
        f"{spec.name}, {value}, {error}",
        spec,
        received_value=value,
        exception_message=str(error),
    )


def _check_range(spec: InputSpec, value: JsonValue) -> Violation | None:
    if not isinstance(value, (int, float)):
        return None
    low, high = spec.config.get("min"), spec.config.get("max")
    if isinstance(low, (int, float)) and value < low:
        kind, message = ViolationType.VALUE_SMALLER_THAN_MIN, f"Value {value} smaller than min of {low}"
    elif isinstance(high, (int, float)) and value > high:
        kind, message = ViolationType.VALUE_BIGGER_THAN_MAX, f"Value {value} bigger than max of {high}"
    else:
        return None
    return about_input(kind, message, spec.name, spec, received_value=value)


def _check_list(spec: InputSpec, value: JsonValue, hints: Hints) -> Violation | None:
    if spec.type != COMBO:
        return None
    several = spec.config.get("multiselect") is True and isinstance(value, list)
    wrong = [item for item in (value if several and isinstance(value, list) else [value]) if item not in spec.options]
    return not_in_list(spec, value, wrong, hints) if wrong else None


def _check_upload(spec: InputSpec, value: JsonValue, file_exists: FileExists | None) -> Violation | None:
    missing = file_exists is not None and not file_exists(str(value))
    return upload_missing(spec, value) if missing or leads_out(str(value)) else None


def leads_out(name: str) -> bool:
    """Whether the name of an upload leads out of the folder of uploads.

    ComfyUI 0.33 takes such a file for missing (`folder_paths.exists_annotated_filepath`); older ones may read it.
    """
    path = _ANNOTATION.sub("", name).replace("\\", "/")
    return path.startswith("/") or posixpath.normpath(path).split("/")[0] == ".." or _DRIVE.match(path) is not None
