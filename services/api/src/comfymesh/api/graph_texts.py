"""Reads the graphs that callers send. Pure."""

from __future__ import annotations

from comfymesh import graphs
from comfymesh.api.errors import RefusedError, Violation
from comfymesh.graphs import Graph, GraphError, GraphErrorReason, Limits


def read(text: str, limits: Limits, field: str) -> Graph:
    """The graph in a field of a request.

    Raises:
        RefusedError: it can't be read, or is too large.
    """
    try:
        return graphs.parse_graph(text, limits)
    except GraphError as error:
        raise _unparsable(error, len(text.encode()), limits.max_bytes, field) from error


def _unparsable(error: GraphError, size: int, limit: int, field: str) -> RefusedError:
    if error.reason is GraphErrorReason.TOO_LARGE:
        metadata = {"size_bytes": str(size), "limit_bytes": str(limit)}
        return RefusedError("MESSAGE_TOO_LARGE", error.message, metadata)
    metadata = {"problem": error.reason.value}
    if error.node_id is not None:
        metadata["graph_node"] = error.node_id
    if error.line is not None:
        metadata |= {"line": str(error.line), "column": str(error.column)}
    violation = Violation(field, error.message)
    return RefusedError("GRAPH_UNPARSABLE", f"the graph can't be read: {error.message}", metadata, [violation])
