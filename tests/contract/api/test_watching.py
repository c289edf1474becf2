"""Watchers of one task that is silent, or that tells more than they read."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from benchmarks import http2
from benchmarks.processes import usage

from comfymesh.api import watching
from comfymesh.api.watch import read_token
from comfymesh.bus import subjects
from comfymesh.tasks.events import Assigned, CancelRequested, Started
from comfymesh.tasks.record import Key
from comfymesh.testkit.apis import GRAPH, NODE, LocalApi, local_api
from comfymesh.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

State = task_pb2.Task.State

_DEAF, _TOLD, _PREVIEW = 10, 100, bytes(50_000)
"""Of what is told, a watcher that never reads would have to keep 5 MB."""
_ALLOWED = 1_000_000
"""Bytes, for each watcher that never reads."""
_READ = 65_536


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalApi]:
    async with local_api(tmp_path_factory.mktemp("api"), api_auth="open", api_heartbeat_seconds=0.05) as up:
        yield up


async def _running(api: LocalApi) -> Key:
    """A task that runs on a node which says nothing by itself."""
    request = task_service_pb2.CreateTaskRequest(task={"graph_json": json.dumps(GRAPH)})
    task = (await api.call("TaskService/CreateTask", request)).task
    key = Key("default", task.name.rpartition("/")[2])
    for event in (Assigned(NODE, "comfyui-0"), Started()):
        stored = await api.log.get(key)
        assert stored is not None
        await api.log.change(stored, event, time.time())
    return key


def _watch(api: LocalApi, key: Key, **wishes: Any) -> Any:
    stub = task_service_pb2_grpc.TaskServiceStub(api.channel)
    return stub.WatchTask(task_service_pb2.WatchTaskRequest(name=f"tasks/{key.task_id}", **wishes))


@pytest.mark.asyncio(loop_scope="module")
async def test_silence_is_filled_with_heartbeats_whose_token_goes_on_without_a_snapshot(api: LocalApi) -> None:
    key = await _running(api)
    first = _watch(api, key)
    snapshot, silence = await first.read(), await first.read()
    first.cancel()
    assert snapshot.task.state == State.STATE_RUNNING
    assert silence.HasField("heartbeat")
    resumed = _watch(api, key, resume_token=silence.resume_token)
    again = await resumed.read()
    resumed.cancel()
    assert again.HasField("heartbeat")
    assert read_token(again.resume_token) == read_token(snapshot.resume_token) > 0


class Deaf:
    """A watcher, alone on its connection, which reads the first message and then leaves the socket alone.

    It has a client of its own: gRPC's goes on reading into its own memory where nobody takes what it has read.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._connection = http2.Connection(target)

    async def begin(self, key: Key) -> int:
        """Watch; answers the state that is told first."""
        host, _, port = self._target.partition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port), limit=_READ)
        request = task_service_pb2.WatchTaskRequest(name=f"tasks/{key.task_id}", include_previews=True)
        self._connection.call("/comfymesh.v1.TaskService/WatchTask", request.SerializeToString())
        return (await self._read())[0].task.state

    async def next_state(self) -> int:
        """Read on until it tells a state."""
        while not (states := [told.task.state for told in await self._read() if told.HasField("task")]):
            pass
        self._writer.transport.abort()
        return states[-1]

    async def _read(self) -> list[task_service_pb2.WatchTaskResponse]:
        messages = list[tuple[int, bytes]]()
        while not messages:
            self._writer.write(self._connection.to_send())
            messages = self._connection.receive(await self._reader.read(_READ))
        return [task_service_pb2.WatchTaskResponse.FromString(message) for _, message in messages]


@pytest.mark.asyncio(loop_scope="module")
async def test_watchers_who_never_read_cost_little_and_take_nothing_from_one_who_does(
    api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_PACE_SECONDS", 0.0)
    key = await _running(api)
    before = usage(os.getpid()).resident_bytes
    deaf = [Deaf(api.target) for _ in range(_DEAF)]
    assert [await each.begin(key) for each in deaf] == [State.STATE_RUNNING] * _DEAF
    reader = _watch(api, key, include_previews=True)
    heard = await _told(api, key, reader)
    cost = (usage(os.getpid()).resident_bytes - before) / _DEAF
    assert heard == [number / _TOLD for number in range(_TOLD)]
    assert cost < _ALLOWED
    stored = await api.log.get(key)
    assert stored is not None
    await api.log.change(stored, CancelRequested(), time.time())
    while not (told := await reader.read()).HasField("task"):
        pass
    reader.cancel()
    assert told.task.state == State.STATE_CANCELLING
    assert [await each.next_state() for each in deaf] == [State.STATE_CANCELLING] * _DEAF


async def _told(api: LocalApi, key: Key, reader: Any) -> list[float]:
    """Tell progress and previews, each once the reader has heard what was before; answers what progress it heard."""
    assert (await reader.read()).task.state == State.STATE_RUNNING
    heard = list[float]()
    for number in range(_TOLD):
        progress = task_pb2.TaskProgress(attempt=1, fraction=number / _TOLD)
        preview = task_pb2.Preview(attempt=1, data=_PREVIEW)
        await api.bus.publish(subjects.preview(key), preview.SerializeToString())
        await api.bus.publish(subjects.progress(key), progress.SerializeToString())
        while len(heard) <= number:
            told = await reader.read()
            heard += [told.progress.fraction] if told.HasField("progress") else []
    return heard
