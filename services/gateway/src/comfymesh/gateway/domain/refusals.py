"""Refusals of the mesh, as ComfyUI would word its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from comfymesh.client import (
    AccessDenied,
    ComfyMeshError,
    Conflict,
    DeadlineExceeded,
    Incompatible,
    LimitExceeded,
    NotFound,
    ServerError,
    Unavailable,
    Violation,
)
from comfymesh.comfyui.verdict import error
from comfymesh.graphs import JsonValue

_STATUSES: Mapping[type[ComfyMeshError], int] = {
    NotFound: 404,
    Conflict: 409,
    LimitExceeded: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
    ServerError: 502,
    Incompatible: 502,
}
_REASONS = {"MESSAGE_TOO_LARGE": 413, "UNAUTHENTICATED": 401}
_GRAPH_NODE = re.compile(r"task\.(?:graph_json|inputs)\[(?P<node>[^\].]+)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that says no.

    Attributes:
        status: Status of HTTP.
        body: JSON object, shaped as ComfyUI shapes its own.
        headers: What else is to be said.
    """

    status: int
    body: dict[str, JsonValue]
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A request is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal.body))
        self.refusal = refusal


def refused(kind: str, message: str, details: str = "", *, status: int = 400) -> RefusedError:
    """An error that refuses a request in ComfyUI's shape."""
    return RefusedError(Refusal(status, {"error": error(kind, message, details), "node_errors": {}}))


def of(failure: ComfyMeshError) -> Refusal:
    """What a failed call of the mesh comes to. Invalid requests and graphs are 400, as ComfyUI has it."""
    status = _REASONS.get(failure.reason) or _status(failure)
    told = error(
        failure.reason.lower(),
        failure.message,
        "\n".join(f"{each.field}: {each.description}" for each in failure.violations),
        dict(failure.metadata),
    )
    headers = {}
    if failure.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after.total_seconds())))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="comfymesh"'
    return Refusal(status, {"error": told, "node_errors": _by_node(failure.violations)}, headers)


def _status(failure: ComfyMeshError) -> int:
    if isinstance(failure, AccessDenied):
        return 401 if failure.code == "UNAUTHENTICATED" else 403
    return next((status for kind, status in _STATUSES.items() if isinstance(failure, kind)), 400)


def _by_node(violations: tuple[Violation, ...]) -> dict[str, JsonValue]:
    found: dict[str, list[JsonValue]] = {}
    for each in violations:
        if place := _GRAPH_NODE.match(each.field):
            kind = each.reason.lower() or "custom_validation_failed"
            found.setdefault(place["node"], []).append(error(kind, each.description, each.field))
    return {node: {"errors": errors, "dependent_outputs": [], "class_type": ""} for node, errors in found.items()}
