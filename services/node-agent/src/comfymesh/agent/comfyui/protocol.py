"""Reads what arrives on ComfyUI's socket. Pure: bytes and text in, events out (ComfyUI protocol notes, section 7).

Whatever arrives, the only exception is `ProtocolError`. All strings that leave here can be encoded as UTF-8, all
numbers are finite.
"""

from __future__ import annotations

import json
from math import isfinite
from struct import Struct
from typing import TYPE_CHECKING, Any

from comfymesh.agent.comfyui.errors import ProtocolError
from comfymesh.agent.comfyui.events import (
    Event,
    ExecutionCached,
    ExecutionError,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionStarted,
    ExecutionSucceeded,
    FeatureFlags,
    GraphNodeState,
    Ignored,
    NodeOutput,
    NodeStarted,
    Preview,
    ProgressState,
    PromptEnded,
    Status,
    StepProgress,
    TextProgress,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
"""Must be the first message of every connection: only then do previews name their prompt and graph node."""

_MAX_ID = 256
_MAX_TEXT = 16_384
_MAX_TRACEBACK = 64
_MAX_TRACEBACK_LINE = 2_048

_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4
_PREVIEW_FORMATS = {1: "image/jpeg", 2: "image/png"}
_PREVIEW_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/bmp"})
_TWO_WORDS = Struct(">II")


def parse_text(text: str) -> Event:
    """Read one text message.

    Args:
        text: The whole message, of any length.

    Returns:
        Its event; `Ignored` for types that are not ours.

    Raises:
        ProtocolError: It is no JSON object with a type, or a known type lacks what it must have.
    """
    message = _load_object(text)
    kind = message.get("type")
    if not isinstance(kind, str):
        raise ProtocolError("a text message has no type")
    reader = _READERS.get(kind)
    if reader is None:
        return Ignored(clean(kind, _MAX_ID))
    data = message.get("data")
    if not isinstance(data, dict):
        raise ProtocolError(f"a {kind} message has no data object")
    return reader(data)


def parse_binary(data: bytes) -> Event:
    """Read one binary message.

    Args:
        data: The whole message, of any length.

    Returns:
        `Preview`, `TextProgress`, or `Ignored` for other event numbers.

    Raises:
        ProtocolError: It is shorter than it says, or holds what its event number does not allow.
    """
    if len(data) < _TWO_WORDS.size:
        raise ProtocolError(f"a binary message has {len(data)} bytes, fewer than its header")
    number, word = _TWO_WORDS.unpack_from(data)
    if number == _PREVIEW_WITH_METADATA:
        return _preview_with_metadata(data, word)
    if number == _PREVIEW:
        return _preview(data, word)
    if number == _TEXT:
        return _text_progress(data, word)
    return Ignored(f"binary {number}")


def parse_error(data: dict[str, Any]) -> ExecutionError:
    """Read the data of an `execution_error`, from a message or from history.

    Args:
        data: The object; missing and odd fields become empty.

    Returns:
        The error, its texts shortened.
    """
    traceback = data.get("traceback")
    lines = traceback[-_MAX_TRACEBACK:] if isinstance(traceback, list) else []
    return ExecutionError(
        graph_node=_loose(data, "node_id", _MAX_ID),
        graph_node_class=_loose(data, "node_type", _MAX_ID),
        exception_type=_loose(data, "exception_type", _MAX_ID),
        message=_loose(data, "exception_message", _MAX_TEXT).strip(),
        traceback=tuple(clean(line, _MAX_TRACEBACK_LINE) for line in lines if isinstance(line, str)),
    )


def load_json(text: str | bytes) -> object:
    """Parse JSON leniently: `NaN` and infinities are let in, since nodes put them there.

    Args:
        text: JSON, as text or UTF-8.

    Returns:
        The value.

    Raises:
        ProtocolError: It is not JSON, not UTF-8, nested too deeply, or holds a number of absurd length.
    """
    try:
        value: object = json.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {type(error).__name__}") from None
    return value


def clean(text: str, limit: int) -> str:
    """Shorten a text and replace what UTF-8 cannot carry.

    Args:
        text: Any text; JSON may bring lone surrogates.
        limit: The longest result, in characters.

    Returns:
        A text that encodes as UTF-8.
    """
    text = text[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _load_object(text: str) -> dict[str, Any]:
    message = load_json(text)
    if not isinstance(message, dict):
        raise ProtocolError("a text message is not a JSON object")
    return message


def _id(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = _int_text(value)
    if not isinstance(value, str) or not value or len(value) > _MAX_ID:
        raise ProtocolError(f"{key} is missing or not an id")
    return clean(value, _MAX_ID)


def _int_text(value: int) -> str | None:
    return str(value) if value.bit_length() <= 64 else None


def _optional_id(data: dict[str, Any], key: str) -> str | None:
    return None if data.get(key) is None else _id(data, key)


def _loose(data: dict[str, Any], key: str, limit: int) -> str:
    value = data.get(key)
    return clean(value, limit) if isinstance(value, str) else ""


def _number(data: dict[str, Any], key: str) -> float:
    """A count; whatever is no finite positive number counts as 0."""
    value = data.get(key)
    if not isinstance(value, int | float):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if isfinite(number) and number > 0 else 0.0


def _status(data: dict[str, Any]) -> Status:
    status = data.get("status")
    info = status.get("exec_info") if isinstance(status, dict) else None
    if not isinstance(info, dict):
        raise ProtocolError("a status message has no exec_info")
    return Status(int(_number(info, "queue_remaining")), _optional_id(data, "sid"))


def _execution_cached(data: dict[str, Any]) -> ExecutionCached:
    nodes = data.get("nodes")
    if not isinstance(nodes, list):
        raise ProtocolError("an execution_cached message has no list of nodes")
    return ExecutionCached(
        _id(data, "prompt_id"), tuple(clean(node, _MAX_ID) for node in nodes if isinstance(node, str))
    )


def _executing(data: dict[str, Any]) -> Event:
    node = _optional_id(data, "node")
    prompt_id = _optional_id(data, "prompt_id")
    if node is not None:
        return NodeStarted(prompt_id, node, _optional_id(data, "display_node") or node)
    # Without a prompt it would end nothing in particular.
    return PromptEnded(prompt_id) if prompt_id is not None else Ignored("executing")


def _progress(data: dict[str, Any]) -> StepProgress:
    node = _optional_id(data, "node") or ""
    return StepProgress(_id(data, "prompt_id"), node, _number(data, "value"), _number(data, "max"))


def _progress_state(data: dict[str, Any]) -> ProgressState:
    nodes = data.get("nodes")
    if not isinstance(nodes, dict):
        raise ProtocolError("a progress_state message has no object of nodes")
    states = tuple(_node_state(node, state) for node, state in nodes.items() if isinstance(state, dict))
    return ProgressState(_id(data, "prompt_id"), states)


def _node_state(node: str, state: dict[str, Any]) -> GraphNodeState:
    node = clean(node, _MAX_ID)
    return GraphNodeState(
        graph_node=node,
        display_node=_loose(state, "display_node_id", _MAX_ID) or node,
        value=_number(state, "value"),
        maximum=_number(state, "max"),
        finished=state.get("state") == "finished",
    )


def _executed(data: dict[str, Any]) -> NodeOutput:
    node = _id(data, "node")
    output = data.get("output")
    shown = output if isinstance(output, dict) else {}
    return NodeOutput(_id(data, "prompt_id"), node, _optional_id(data, "display_node") or node, shown)


def _execution_interrupted(data: dict[str, Any]) -> ExecutionInterrupted:
    return ExecutionInterrupted(
        _id(data, "prompt_id"), _loose(data, "node_id", _MAX_ID), _loose(data, "node_type", _MAX_ID)
    )


def _feature_flags(data: dict[str, Any]) -> FeatureFlags:
    return FeatureFlags(data.get("supports_preview_metadata") is True, data)


_READERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "status": _status,
    "execution_start": lambda data: ExecutionStarted(_id(data, "prompt_id")),
    "execution_cached": _execution_cached,
    "executing": _executing,
    "progress": _progress,
    "progress_state": _progress_state,
    "executed": _executed,
    "execution_success": lambda data: ExecutionSucceeded(_id(data, "prompt_id")),
    "execution_error": lambda data: ExecutionFailed(_id(data, "prompt_id"), parse_error(data)),
    "execution_interrupted": _execution_interrupted,
    "feature_flags": _feature_flags,
}


def _preview(data: bytes, image_format: int) -> Preview:
    media_type = _PREVIEW_FORMATS.get(image_format)
    if media_type is None:
        raise ProtocolError(f"a preview has the unknown format {image_format}")
    return Preview(_image(data, _TWO_WORDS.size), media_type)


def _preview_with_metadata(data: bytes, length: int) -> Preview:
    start = _TWO_WORDS.size + length
    metadata = load_json(data[_TWO_WORDS.size : start])
    if not isinstance(metadata, dict):
        raise ProtocolError("a preview's metadata is not a JSON object")
    media_type = metadata.get("image_type")
    if not isinstance(media_type, str) or media_type not in _PREVIEW_TYPES:
        raise ProtocolError("a preview's image_type is not a raster image")
    node = _optional_id(metadata, "display_node_id") or _optional_id(metadata, "node_id")
    return Preview(_image(data, start), media_type, _optional_id(metadata, "prompt_id"), node)


def _image(data: bytes, start: int) -> bytes:
    if len(data) <= start:
        raise ProtocolError("a preview has no image")
    return data[start:]


def _text_progress(data: bytes, length: int) -> TextProgress:
    start = _TWO_WORDS.size + length
    if len(data) < start:
        raise ProtocolError("a text frame is shorter than its node id")
    node = data[_TWO_WORDS.size : start].decode("utf-8", "replace")
    return TextProgress(node[:_MAX_ID], data[start : start + 4 * _MAX_TEXT].decode("utf-8", "replace")[:_MAX_TEXT])
