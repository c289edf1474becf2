"""What ComfyUI sends becomes events, and nothing that anybody sends becomes another exception than ProtocolError."""

from __future__ import annotations

import json
import struct
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comfymesh.agent.comfyui.errors import ProtocolError
from comfymesh.agent.comfyui.events import (
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
from comfymesh.agent.comfyui.protocol import HELLO, parse_binary, parse_text

if TYPE_CHECKING:
    from .recorded import Trace

EVENT_OF_TYPE: dict[str, type | tuple[type, ...]] = {
    "status": Status,
    "execution_start": ExecutionStarted,
    "execution_cached": ExecutionCached,
    "executing": (NodeStarted, PromptEnded),
    "progress": StepProgress,
    "progress_state": ProgressState,
    "executed": NodeOutput,
    "execution_success": ExecutionSucceeded,
    "execution_error": ExecutionFailed,
    "execution_interrupted": ExecutionInterrupted,
    "feature_flags": FeatureFlags,
    "logs": Ignored,
}


def text(kind: str, data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


def binary(number: int, length: int, rest: bytes) -> bytes:
    return struct.pack(">II", number, length) + rest


def test_every_recorded_text_becomes_the_event_of_its_type(trace: Trace) -> None:
    for message in trace.texts:
        event = parse_text(json.dumps(message))
        assert isinstance(event, EVENT_OF_TYPE[message["type"]])
        assert getattr(event, "prompt_id", None) == message["data"].get("prompt_id")


def test_every_recorded_text_keeps_its_graph_node(trace: Trace) -> None:
    for message in trace.texts:
        data = message["data"]
        node = data.get("node", data.get("node_id"))
        event = parse_text(json.dumps(message))
        named = event.error.graph_node if isinstance(event, ExecutionFailed) else getattr(event, "graph_node", None)
        assert named == node


def test_every_recorded_binary_becomes_a_preview_or_text(trace: Trace) -> None:
    for record in trace.of("ws_binary"):
        header, data = record["header"], rebuilt(record)
        assert data[:16].hex() == record["first_hex"][:32]
        event = parse_binary(data)
        if header["event"] == 3:
            assert event == TextProgress("2", header["text"])
            continue
        assert isinstance(event, Preview)
        assert len(event.image) == header["payload_len"]
        assert event.image.hex().startswith(header["payload_first_hex"])
        metadata = header.get("metadata", {})
        assert event.prompt_id == metadata.get("prompt_id")
        assert event.graph_node == metadata.get("display_node_id")
        assert event.media_type == metadata.get("image_type", "image/jpeg")


def rebuilt(record: dict[str, Any]) -> bytes:
    """The whole frame: the trace holds its beginning and its length; the middle is made up."""
    header = record["header"]
    if header["event"] == 4:
        front = json.dumps(header["metadata"]).encode()
        start = binary(4, len(front), front)
    elif header["event"] == 3:
        start = binary(3, header["node_id_len"], b"2")
    else:
        start = binary(1, header["image_type"], b"")
    payload = bytes.fromhex(header["payload_first_hex"])
    assert len(start) == header["payload_offset"]
    return (start + payload).ljust(record["len"], b"\0")


def test_the_traces_hold_every_kind_of_event(traces: dict[str, Trace]) -> None:
    seen = {type(parse_text(json.dumps(m))) for trace in traces.values() for m in trace.texts}
    seen |= {type(parse_binary(rebuilt(r))) for trace in traces.values() for r in trace.of("ws_binary")}
    known = {kind for value in EVENT_OF_TYPE.values() for kind in (value if isinstance(value, tuple) else (value,))}
    assert seen == known | {Preview, TextProgress}


def test_a_failure_tells_who_raised_what(traces: dict[str, Trace]) -> None:
    failed = [parse_text(json.dumps(m)) for m in traces["08"].texts if m["type"] == "execution_error"]
    event = failed[0]
    assert isinstance(event, ExecutionFailed)
    assert event.error.exception_type == "RuntimeError"
    assert event.error.graph_node == "3"
    assert event.error.graph_node_class == "ProbeRaise"
    assert event.error.message == "probe: deliberate failure"
    assert event.error.traceback[0].lstrip().startswith("File")


def test_the_first_status_tells_the_client_id() -> None:
    data = {"status": {"exec_info": {"queue_remaining": 3}}, "sid": "abc"}
    assert parse_text(text("status", data)) == Status(3, "abc")


def test_executing_without_a_graph_node_ends_the_prompt() -> None:
    assert parse_text(text("executing", {"node": None, "prompt_id": "p"})) == PromptEnded("p")


def test_executing_without_a_prompt_is_what_a_reconnecting_client_is_greeted_with() -> None:
    assert parse_text(text("executing", {"node": "2"})) == NodeStarted(None, "2", "2")


def test_executing_with_neither_ends_nothing() -> None:
    assert parse_text(text("executing", {"node": None})) == Ignored("executing")


def test_a_run_time_graph_node_names_the_one_that_stands_for_it() -> None:
    data = {"node": "2.0.0.1", "display_node": "2", "prompt_id": "p"}
    assert parse_text(text("executing", data)) == NodeStarted("p", "2.0.0.1", "2")


def test_a_progress_state_lists_its_graph_nodes() -> None:
    node = {"value": 1, "max": 2, "state": "running", "display_node_id": "2"}
    event = parse_text(text("progress_state", {"prompt_id": "p", "nodes": {"2.0.0.1": node}}))
    assert event == ProgressState("p", (GraphNodeState("2.0.0.1", "2", 1.0, 2.0, finished=False),))


def test_types_of_custom_nodes_are_ignored() -> None:
    assert parse_text('{"type": "crystools.monitor", "data": [1]}') == Ignored("crystools.monitor")


def test_an_output_of_null_is_no_output() -> None:
    data = {"node": "9", "display_node": "9", "output": None, "prompt_id": "p"}
    assert parse_text(text("executed", data)) == NodeOutput("p", "9", "9", {})


def test_the_token_nan_is_tolerated_and_counts_as_nothing() -> None:
    event = parse_text('{"type":"progress","data":{"value":NaN,"max":Infinity,"prompt_id":"p","node":"1"}}')
    assert event == StepProgress("p", "1", 0.0, 0.0)


def test_a_number_that_no_float_can_hold_counts_as_nothing() -> None:
    message = '{"type":"progress","data":{"value":1' + "0" * 400 + ',"max":4,"prompt_id":"p","node":"1"}}'
    assert parse_text(message) == StepProgress("p", "1", 0.0, 4.0)


def test_lone_surrogates_are_replaced() -> None:
    event = parse_text('{"type":"execution_start","data":{"prompt_id":"a\\ud800b"}}')
    assert event == ExecutionStarted("a?b")


def test_a_number_as_id_is_taken_as_its_text() -> None:
    assert parse_text(text("executing", {"node": 7, "prompt_id": "p"})) == NodeStarted("p", "7", "7")


def test_long_texts_of_an_error_are_cut() -> None:
    data = {"prompt_id": "p", "exception_message": "x" * 10**6, "traceback": ["y" * 10**5] * 500}
    event = parse_text(text("execution_error", data))
    assert isinstance(event, ExecutionFailed)
    assert len(event.error.message) <= 16_384
    assert sum(map(len, event.error.traceback)) <= 64 * 2_048


def test_an_error_without_details_is_still_an_error() -> None:
    event = parse_text(text("execution_error", {"prompt_id": "p", "traceback": None, "exception_message": 5}))
    assert event == ExecutionFailed("p", ExecutionError("", "", "", ""))


@pytest.mark.parametrize(
    "message",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"type": 5, "data": {}}',
        '{"type": "status"}',
        '{"type": "status", "data": []}',
        '{"type": "status", "data": {"status": 3}}',
        '{"type": "status", "data": {"status": {"exec_info": null}}}',
        '{"type": "execution_start", "data": {}}',
        '{"type": "execution_start", "data": {"prompt_id": []}}',
        '{"type": "execution_start", "data": {"prompt_id": true}}',
        '{"type": "execution_start", "data": {"prompt_id": ""}}',
        '{"type": "execution_cached", "data": {"prompt_id": "p", "nodes": 4}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": []}}',
        '{"type": "executing", "data": {"prompt_id": "p", "node": {}}}',
        "[" * 100_000,
        "1" * 10_000,
    ],
    ids=lambda message: message[:60],
)
def test_what_breaks_the_protocol_is_a_protocol_error(message: str) -> None:
    with pytest.raises(ProtocolError):
        parse_text(message)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\1",
        binary(1, 1, b""),
        binary(1, 3, b"image"),
        binary(3, 4_000_000_000, b"2text"),
        binary(4, 4_000_000_000, b"{}"),
        binary(4, 2, b"{}image"),
        binary(4, 2, b"[]image"),
        binary(4, 3, b"\xff\xff\xffimage"),
        binary(4, 30, b'{"image_type":"image/svg+xml"}image'),
        binary(4, 27, b'{"image_type": "image/png"}'),
    ],
    ids=lambda data: data[:40].hex(),
)
def test_a_broken_frame_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_binary(data)


def test_frames_with_other_numbers_are_ignored() -> None:
    assert parse_binary(binary(9, 0, b"")) == Ignored("binary 9")


def test_our_greeting_asks_for_previews_with_metadata() -> None:
    assert json.loads(HELLO) == {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


FIELDS = (
    "prompt_id",
    "node",
    "display_node",
    "nodes",
    "value",
    "max",
    "status",
    "exec_info",
    "sid",
    "output",
    "traceback",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)


@given(st.text() | JSON.map(json.dumps))
@example("[" * 10_000)
def test_any_text_gives_an_event_or_a_protocol_error(message: str) -> None:
    check(parse_text, message)


@given(st.sampled_from(sorted(EVENT_OF_TYPE)), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_data_of_a_known_type_gives_an_event_or_a_protocol_error(kind: str, data: dict[str, Any]) -> None:
    check(parse_text, text(kind, data))


@given(
    st.integers(0, 5), st.integers(0, 80), st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_give_an_event_or_a_protocol_error(number: int, length: int, rest: bytes) -> None:
    check(parse_binary, binary(number, length, rest))


@given(st.binary(max_size=16))
def test_any_short_bytes_give_an_event_or_a_protocol_error(data: bytes) -> None:
    check(parse_binary, data)


def check(parse: Any, message: Any) -> None:
    try:
        event = parse(message)
    except ProtocolError:
        return
    assert_clean(event)


def assert_clean(value: Any) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, float):
        assert isfinite(value)
        assert value >= 0
    elif isinstance(value, tuple):
        for item in value:
            assert_clean(item)
    elif is_dataclass(value):
        for field in fields(value):
            assert_clean(getattr(value, field.name))
