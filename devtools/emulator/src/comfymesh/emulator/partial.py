"""A verdict that is worse than the prompt deserves, for those who want to see what becomes of such a prompt."""

from __future__ import annotations

from dataclasses import replace

from comfymesh.comfyui.verdict import Verdict, error
from comfymesh.graphs import JsonValue


def without_first_output(verdict: Verdict) -> Verdict:
    """Returns the verdict on a prompt whose first output fails a check of its own; one with a single output stays."""
    if len(verdict.outputs) < 2:
        return verdict
    first, *others = verdict.outputs
    node = verdict.graph[first]
    assert isinstance(node, dict)
    failed: dict[str, JsonValue] = {
        "errors": [error("custom_validation_failed", "Custom validation failed for node", "asked to fail")],
        "dependent_outputs": [first],
        "class_type": node["class_type"],
    }
    return replace(verdict, outputs=tuple(others), node_errors={**verdict.node_errors, first: failed})
