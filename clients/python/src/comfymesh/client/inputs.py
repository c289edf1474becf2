"""Values of inputs, as messages."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, SupportsIndex

from comfymesh.client.errors import InvalidRequest, Violation
from comfymesh.client.models import Asset, Url
from comfymesh.v1 import task_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar = bool | int | float | str | SupportsIndex | Asset | Url
"""A value that needs no upload."""


def inputs_to_proto(inputs: Mapping[str, Scalar]) -> dict[str, task_pb2.InputValue]:
    """The messages for inputs; integers keep all their bits.

    Raises:
        InvalidRequest: Inputs that no message can carry, all of them at once.
    """
    values: dict[str, task_pb2.InputValue] = {}
    violations: list[Violation] = []
    for key, value in inputs.items():
        try:
            values[key] = input_to_proto(value)
        except (TypeError, ValueError) as error:
            violations.append(Violation(f"task.inputs[{key}]", str(error)))
    if violations:
        text = "Some inputs have values that can't be sent."
        raise InvalidRequest(text, reason="INPUT_INVALID", violations=violations)
    return values


def input_to_proto(value: Scalar) -> task_pb2.InputValue:
    """The message for one input.

    Raises:
        TypeError: A value of a type that has no counterpart.
        ValueError: An integer of more than 64 bits.
    """
    # bool comes before int because it is one in Python, and True must not arrive as 1.
    if isinstance(value, bool):
        return task_pb2.InputValue(bool_value=value)
    if isinstance(value, float):
        return task_pb2.InputValue(double_value=value)
    if isinstance(value, str):
        return task_pb2.InputValue(string_value=value)
    if isinstance(value, Asset):
        return task_pb2.InputValue(asset=value.name)
    if isinstance(value, Url):
        return task_pb2.InputValue(url=value.url)
    return _integer(value)


def _integer(value: SupportsIndex) -> task_pb2.InputValue:
    try:
        number = operator.index(value)
    except TypeError:
        kinds = "bool, int, float, str, a path, bytes, an Asset or a Url"
        raise TypeError(f"No input can be of type {type(value).__name__}; give {kinds}.") from None
    if -(2**63) <= number < 2**63:
        return task_pb2.InputValue(int64_value=number)
    if 0 <= number < 2**64:
        return task_pb2.InputValue(uint64_value=number)
    raise ValueError(f"{number} does not fit in 64 bits; integers go from -2^63 to 2^64-1.")
