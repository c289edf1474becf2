"""Reads a graph from whatever a caller has: a mapping, JSON text, or a file. Never judges it; the server does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfymesh.client.errors import InvalidRequest
from comfymesh.client.workflow_models import Workflow, WorkflowRef

Graph = Mapping[str, Any] | str | Path
"""A graph in API format: a mapping, its JSON text, or the path of a file that holds it."""

Runnable = Graph | WorkflowRef | Workflow
"""What a task can be made of: a graph, or a stored workflow."""


class GraphText(str):
    """The text of a graph, whatever it begins with: never a path."""

    __slots__ = ()


def graph_text(graph: Graph) -> GraphText:
    """The JSON text of a graph.

    A string that begins with a brace or bracket is JSON text; any other is a path, but for what was read already.

    Args:
        graph: The graph.

    Returns:
        The text, as it goes to the server.

    Raises:
        InvalidRequest: The mapping can't be written as JSON, or the file can't be read.
    """
    if isinstance(graph, GraphText):
        return graph
    if isinstance(graph, Mapping):
        return GraphText(_dump(graph))
    if isinstance(graph, str) and graph.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}:
        return GraphText(graph)
    return decode_graph(_read(Path(graph)), str(graph))


def decode_graph(data: bytes, origin: str) -> GraphText:
    """The text of a graph file, without a byte order mark.

    Args:
        data: The bytes.
        origin: Where they come from, for the message.

    Raises:
        InvalidRequest: The bytes are not UTF-8, or there are none.
    """
    if not data.strip():
        raise InvalidRequest(f"{origin} is empty.", reason="GRAPH_UNPARSABLE", metadata={"problem": "NOT_JSON"})
    try:
        return GraphText(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        text = f"{origin} is not UTF-8 text (byte {error.start}). Export the graph again in API format."
        raise InvalidRequest(text, reason="GRAPH_UNPARSABLE", metadata={"problem": "NOT_UTF8"}) from error


def _dump(graph: Mapping[str, Any]) -> str:
    try:
        return json.dumps(graph, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        text = f"The graph can't be written as JSON: {error}."
        raise InvalidRequest(text, reason="GRAPH_UNPARSABLE", metadata={"problem": "NOT_JSON"}) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise file_unreadable(path, error) from error


def file_unreadable(path: Path, error: OSError) -> InvalidRequest:
    """The exception for a local file that can't be read."""
    text = f"The file {path} can't be read: {error.strerror or error}."
    return InvalidRequest(text, reason="FILE_UNREADABLE", metadata={"path": str(path)})
