"""Whatever is sent, the answer is a refusal with a reason: no crash, no INTERNAL, and the api goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, Refused, find, methods, request_type
from comfymesh.v1 import error_reason_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

_REASONS = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118  # no mapping
_WORDS = [
    *("", "tasks/one", "tasks/One", "nodes/gpu-1", "groups/g", "tenants/default", "tenants/t/keys/k", "1.name"),
    *("workflows/w", "workflows/w/versions/1", "graph_json", "inputs", "default_version"),
    *("{}", '{"1": {"class_type": "Save", "inputs": {}}}', "[" * 400, "../../etc", "a.b.>", "assets/" + "0" * 64),
]
_TEXT = st.one_of(st.sampled_from(_WORDS), st.text(max_size=40))
_INTEGERS = st.one_of(st.integers(-2, 2), st.sampled_from([2**31 - 1, -(2**31)]))
_LARGE = st.one_of(_INTEGERS, st.sampled_from([2**63 - 1, -(2**63), 253402300800]))
_VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: _TEXT,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=40),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_INT32: _INTEGERS,
    FieldDescriptor.TYPE_INT64: _LARGE,
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 9),
}


@st.composite
def filled(draw: st.DrawFn, kind: type[Message], depth: int = 0) -> Message:
    """A message of a kind, with anything in its fields."""
    made = kind()
    fields = (
        draw(st.lists(st.sampled_from(list(made.DESCRIPTOR.fields)), unique_by=id)) if made.DESCRIPTOR.fields else []
    )
    for field in fields:
        _fill(draw, made, field, depth)
    return made


def _fill(draw: st.DrawFn, made: Any, field: Any, depth: int) -> None:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        _fill_map(draw, made, field, depth)
    elif entry is not None:
        if depth < 3:
            inner = filled(entry._concrete_class, depth + 1)
            if field.is_repeated:
                getattr(made, field.name).extend(draw(st.lists(inner, max_size=2)))
            else:
                getattr(made, field.name).CopyFrom(draw(inner))
    elif field.is_repeated:
        getattr(made, field.name).extend(draw(st.lists(_VALUES[field.type], max_size=3)))
    else:
        setattr(made, field.name, draw(_VALUES[field.type]))


def _fill_map(draw: st.DrawFn, made: Any, field: Any, depth: int) -> None:
    key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    for name in draw(st.lists(_VALUES[key.type], max_size=2, unique=True)):
        if value.message_type is None:
            getattr(made, field.name)[name] = draw(_VALUES[value.type])
        elif depth < 3:
            getattr(made, field.name)[name].CopyFrom(draw(filled(value.message_type._concrete_class, depth + 1)))


@pytest.mark.parametrize(
    "method", [method for method in methods() if not method.startswith("SchedulingService/GetQueue")]
)
async def test_any_request_has_an_answer(api: LocalApi, method: str) -> None:
    kind, streams = request_type(find(method)), find(method).client_streaming
    requests: list[Message] = []

    @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(filled(kind))
    def collect(request: Message) -> None:
        requests.append(request)

    collect()
    # At most some at a time: what is to be seen is the answer to each, not how many there can be.
    turns = asyncio.Semaphore(8)

    async def one(request: Message) -> str:
        async with turns:
            try:
                await api.call(method, [request] if streams else request, BOOTSTRAP)
            except Refused as refused:
                return f"{refused.code}/{refused.reason}" if refused.reason not in _REASONS else refused.reason
        return "OK"

    told = await asyncio.gather(*(one(request) for request in requests))
    assert not {outcome for outcome in told if outcome == "INTERNAL" or "/" in outcome}
