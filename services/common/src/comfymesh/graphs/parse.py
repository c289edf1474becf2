"""From text to graph, within limits."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, cast

from comfymesh.graphs.counting import holds_more_than
from comfymesh.graphs.errors import GraphError, GraphErrorReason
from comfymesh.graphs.graph import Graph, GraphNode, JsonValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a graph may be.

    Attributes:
        max_bytes: Size of the text in UTF-8.
        max_depth: Levels of nesting inside the whole text; a plain graph has four.
        max_nodes: Number of graph nodes.
        max_values: Number of values in the whole text.
    """

    max_bytes: int = 4 * 1024 * 1024
    max_depth: int = 64
    max_nodes: int = 5_000
    max_values: int = 250_000


DEFAULT_LIMITS = Limits()

_BYTE_ORDER_MARK = "\ufeff"


def parse_graph(text: str | bytes, limits: Limits = DEFAULT_LIMITS) -> Graph:
    """Parses the JSON text of a graph in API format. Integers of any size stay exact.

    Raises:
        GraphError: The text is not such a graph, or is beyond the limits.
    """
    decoded = _decoded(text, limits)
    if holds_more_than(limits.max_values, decoded):
        raise GraphError(
            GraphErrorReason.TOO_MANY_VALUES,
            f"the graph holds more than {limits.max_values} values; pass large inputs as assets",
        )
    document = _load(decoded)
    if decoded.count("{") + decoded.count("[") > limits.max_depth:
        _check_depth(document, limits.max_depth)
    if "\\u" in decoded:  # only an escape writes half of a surrogate pair into a text that is valid itself
        _check_texts(document)
    return _graph(document, limits)


def _decoded(text: str | bytes, limits: Limits) -> str:
    # A character takes at least one byte, so the cheap test spares encoding a text that is far too long.
    too_large = len(text) > limits.max_bytes
    try:
        encoded = text.encode() if isinstance(text, str) and not too_large else text
        too_large = too_large or len(encoded) > limits.max_bytes
        decoded = text.decode() if isinstance(text, bytes) and not too_large else text
    except UnicodeError as error:
        raise GraphError(GraphErrorReason.BAD_TEXT, "the graph is not valid UTF-8 text; send it as UTF-8") from error
    if too_large:
        raise GraphError(
            GraphErrorReason.TOO_LARGE,
            f"the graph is larger than {limits.max_bytes} bytes; pass large inputs as assets",
        )
    return cast("str", decoded)


def _load(text: str) -> JsonValue:
    try:
        return cast("JsonValue", _DECODER.decode(text))
    except GraphError:
        raise
    except json.JSONDecodeError as error:
        problem = "a byte order mark" if text.startswith(_BYTE_ORDER_MARK) else error.msg
        raise GraphError(
            GraphErrorReason.NOT_JSON,
            f"the graph is not JSON: {problem} at line {error.lineno}, column {error.colno}",
            line=error.lineno,
            column=error.colno,
        ) from error
    except ValueError as error:
        # The interpreter refuses to turn thousands of digits into an integer.
        raise GraphError(GraphErrorReason.BAD_NUMBER, f"the graph holds an unusable number: {error}") from error
    except RecursionError as error:
        raise GraphError(GraphErrorReason.TOO_DEEP, "the graph is nested too deeply") from error


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise GraphError(
            GraphErrorReason.DUPLICATE_KEY,
            f"the graph has the key {key!r} twice in one object; remove one of them",
        )
    return made


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise GraphError(GraphErrorReason.BAD_NUMBER, f"the number {text[:40]} is too large for a float")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise GraphError(GraphErrorReason.BAD_NUMBER, f"{name} is not JSON; use a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite_float, parse_constant=_refuse_constant)


def _check_depth(document: JsonValue, max_depth: int) -> None:
    level = [document] if isinstance(document, (dict, list)) else []
    for _ in range(max_depth):
        level = [each for value in level for each in _inside(value) if isinstance(each, (dict, list))]
        if not level:
            return
    raise GraphError(
        GraphErrorReason.TOO_DEEP,
        f"the graph is nested deeper than {max_depth} levels; flatten its values",
    )


def _inside(value: dict[str, JsonValue] | list[JsonValue]) -> Iterable[JsonValue]:
    return value.values() if isinstance(value, dict) else value


def _check_texts(document: JsonValue) -> None:
    """Walks all values without recursion: every string can be encoded."""
    waiting: list[dict[str, JsonValue] | list[JsonValue]] = [[document]]
    while waiting:
        for child in _children(waiting.pop()):
            if isinstance(child, str):
                _check_text(child)
            elif isinstance(child, (dict, list)):
                waiting.append(child)


def _children(value: dict[str, JsonValue] | list[JsonValue]) -> list[JsonValue]:
    return [*value.keys(), *value.values()] if isinstance(value, dict) else value


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GraphError(
            GraphErrorReason.BAD_TEXT, "the graph holds half of a surrogate pair, which UTF-8 cannot carry"
        ) from error


def _graph(document: JsonValue, limits: Limits) -> Graph:
    if not isinstance(document, dict):
        raise GraphError(GraphErrorReason.NOT_AN_OBJECT, "the graph is not a JSON object; use the export in API format")
    _refuse_other_formats(document)
    if not document:
        raise GraphError(GraphErrorReason.EMPTY, "the graph has no graph nodes")
    if len(document) > limits.max_nodes:
        raise GraphError(
            GraphErrorReason.TOO_MANY_NODES,
            f"the graph has {len(document)} graph nodes; at most {limits.max_nodes} are allowed",
        )
    return Graph({node_id: _node(node_id, node) for node_id, node in document.items()})


def _refuse_other_formats(document: Mapping[str, JsonValue]) -> None:
    if isinstance(document.get("nodes"), list):
        raise GraphError(
            GraphErrorReason.UI_FORMAT,
            "this is a saved canvas of the front-end, not a graph in API format; open it in ComfyUI, choose Workflow >"
            " Export (API), and send that file (older front-ends: enable dev mode options, then Save (API Format))",
        )
    prompt = document.get("prompt")
    if isinstance(prompt, dict) and "class_type" not in prompt:
        raise GraphError(
            GraphErrorReason.REQUEST_BODY,
            "this is a whole body of POST /prompt; give only what is under its 'prompt'",
        )


def _node(node_id: str, value: JsonValue) -> GraphNode:
    if not isinstance(value, dict):
        raise _bad_node(node_id, "is not an object")
    class_type, inputs, meta = value.get("class_type"), value.get("inputs"), value.get("_meta")
    if not isinstance(class_type, str):
        raise _bad_node(node_id, "has no class_type")
    if not isinstance(inputs, dict):
        raise _bad_node(node_id, "has no object of inputs")
    title = meta.get("title") if isinstance(meta, dict) else None
    return GraphNode(node_id, class_type, inputs, title if isinstance(title, str) else None)


def _bad_node(node_id: str, problem: str) -> GraphError:
    return GraphError(
        GraphErrorReason.BAD_NODE,
        f"graph node {node_id!r} {problem}; a graph node is {{'class_type': name, 'inputs': {{...}}}}",
        node_id=node_id,
    )
