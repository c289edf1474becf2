"""Connections that nobody is at any more, and callers that knock too often."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from comfymesh.api import server
from comfymesh.testkit.apis import BOOTSTRAP, LocalApi, Refused, local_api
from comfymesh.testkit.swallowing import swallowing
from comfymesh.testkit.waiting import until
from comfymesh.v1 import task_service_pb2, task_service_pb2_grpc

KNOWN = (("authorization", f"Bearer {BOOTSTRAP}"),)
WATCH = task_service_pb2.WatchTasksRequest(include_existing=True)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ENHANCE_YOUR_CALM = 11


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A frame of the whole connection (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, 0, 0) + payload


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    while True:
        head = await reader.readexactly(9)
        yield head[3], await reader.readexactly(int.from_bytes(head[:3]))


async def test_who_pings_too_often_is_sent_away(tmp_path: Path) -> None:
    async with local_api(tmp_path) as api:
        host, _, port = api.target.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + frame(SETTINGS) + frame(PING, bytes(8)) * 10)
        payload = await asyncio.wait_for(anext(data async for kind, data in frames(reader) if kind == GOAWAY), 10)
        writer.close()
    assert (int.from_bytes(payload[4:8]), payload[8:]) == (ENHANCE_YOUR_CALM, b"too_many_pings")


async def test_a_connection_that_is_dead_and_open_gives_its_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {
        "grpc.keepalive_time_ms": 1000,
        "grpc.keepalive_timeout_ms": 2000,
        "grpc.http2.ping_timeout_ms": 2000,
    }
    known = dict(server._OPTIONS)
    assert quick.keys() <= known.keys()
    monkeypatch.setattr(server, "_OPTIONS", tuple({**known, **quick}.items()))
    async with (
        local_api(tmp_path, api_max_calls=1) as api,
        swallowing(api.target) as (target, passing),
        grpc.aio.insecure_channel(target) as channel,
    ):
        call = task_service_pb2_grpc.TaskServiceStub(channel).WatchTasks(WATCH, metadata=KNOWN)
        assert (await call.read()).HasField("caught_up")
        assert not await has_room(api)
        passing.clear()
        await until(lambda: has_room(api))


async def has_room(api: LocalApi) -> bool:
    try:
        await api.call("TaskService/ListTasks", task_service_pb2.ListTasksRequest())
    except Refused:
        return False
    return True
