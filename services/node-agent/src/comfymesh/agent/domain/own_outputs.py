"""Gives each attempt a place of its own for its outputs."""

from __future__ import annotations

from typing import Any

_INPUT = "filename_prefix"


def with_own_prefix(graph: dict[str, Any], folder: str) -> dict[str, Any]:
    """The graph with every `filename_prefix` led into a folder, that of its attempt.

    So a cached result can't name files that were collected and removed before, two instances that share a directory do
    not overwrite each other, and no directory grows slow (ComfyUI protocol notes, sections 2.10, 5 and 10.3).
    """
    return {node_id: _node(node, folder) for node_id, node in graph.items()}


def _node(node: dict[str, Any], folder: str) -> dict[str, Any]:
    prefix = node["inputs"].get(_INPUT)
    if not isinstance(prefix, str):
        return node
    # Folders of the caller's own are kept, as far as they do not lead into those of other attempts.
    parts = [part for part in prefix.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    last = "" if not parts or prefix.endswith(("/", "\\")) else parts.pop()
    return {**node, "inputs": {**node["inputs"], _INPUT: "/".join([folder, *parts, last])}}
