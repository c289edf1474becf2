"""What can be wrong with the text of a graph."""

from __future__ import annotations

from enum import StrEnum


class GraphErrorReason(StrEnum):
    """Why a text is not a graph. Values are stable: callers may branch on them."""

    NOT_JSON = "NOT_JSON"
    """The text is not JSON. ``line`` and ``column`` say where."""
    TOO_LARGE = "TOO_LARGE"
    """More bytes than the limit."""
    TOO_MANY_VALUES = "TOO_MANY_VALUES"
    """More values in the whole text than the limit."""
    TOO_DEEP = "TOO_DEEP"
    """Nested deeper than the limit."""
    TOO_MANY_NODES = "TOO_MANY_NODES"
    """More graph nodes than the limit."""
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    """JSON, but not an object of graph nodes."""
    EMPTY = "EMPTY"
    """An object without graph nodes."""
    UI_FORMAT = "UI_FORMAT"
    """The export of the front-end's canvas instead of the API format."""
    REQUEST_BODY = "REQUEST_BODY"
    """A whole body of ``POST /prompt``; the graph is its ``prompt``."""
    BAD_NODE = "BAD_NODE"
    """A graph node that is not an object, or lacks its class or its inputs."""
    BAD_NUMBER = "BAD_NUMBER"
    """A number that JSON or a computer cannot hold: NaN, infinity, thousands of digits."""
    BAD_TEXT = "BAD_TEXT"
    """A string with half of a surrogate pair, which no UTF-8 text can carry."""
    DUPLICATE_KEY = "DUPLICATE_KEY"
    """The same key twice in one object: one of the two would be lost without a word."""
    UNKNOWN_INPUT = "UNKNOWN_INPUT"
    """A value was to be put into a graph node that the graph does not have."""


class GraphError(ValueError):
    """A text that is not a graph in API format.

    Attributes:
        reason: What is wrong, for machines.
        message: What is wrong and what to do about it, for people.
        node_id: The graph node concerned, or None when it is the whole text.
        line: Line of the text, from 1, or None when not known.
        column: Column of the text, from 1, or None when not known.
    """

    def __init__(
        self,
        reason: GraphErrorReason,
        message: str,
        *,
        node_id: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.node_id = node_id
        self.line = line
        self.column = column
