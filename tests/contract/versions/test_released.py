"""This version and the ones that were released understand each other: callers, and what is stored (docs/adr/0047)."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import message_factory
from hypothesis import given, settings

from comfymesh.tasks import codec, events, machine
from comfymesh.tasks.failures import WRITTEN_AS, FailureClass
from comfymesh.tasks.record import ArtifactKind, Resolution, State, TaskRecord
from comfymesh.testkit import tasks
from comfymesh.testkit.apis import BOOTSTRAP, GRAPH, LocalApi, local_api
from comfymesh.testkit.graphs import text
from comfymesh.testkit.versions import Version
from comfymesh.wire.v1 import task_record_pb2

ROOT = Path(__file__).parents[3]
RELEASED = sorted((ROOT / "protos" / "released").glob("*.binpb"))
RECORD, TASK = "comfymesh.wire.v1.TaskRecord", "comfymesh.v1.Task"
WRITTEN = {
    f"{TASK}.State": {f"STATE_{state}" for state in State},
    "comfymesh.v1.Artifact.Kind": {f"KIND_{kind}" for kind in ArtifactKind},
    f"{TASK}.DeadLetterResolution": {f"DEAD_LETTER_RESOLUTION_{resolution}" for resolution in Resolution},
    "comfymesh.v1.ErrorReason": {f"ERROR_REASON_{WRITTEN_AS.get(failure, failure)}" for failure in FailureClass},
}

pytestmark = pytest.mark.parametrize("path", RELEASED[-1:], ids=lambda path: path.stem)


@cache
def version(path: Path) -> Version:
    return Version.released(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalApi]:
    async with local_api(tmp_path_factory.mktemp("api")) as up:
        yield up


class Caller:
    """A client that was built from a released contract."""

    def __init__(self, channel: grpc.aio.Channel, known: Version) -> None:
        self._channel = channel
        self._known = known

    def _start(self, service: str, name: str, fields: dict[str, Any], *, streams: bool) -> Any:
        full = f"comfymesh.v1.{service}"
        method = self._known.method(full, name)
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        read = message_factory.GetMessageClass(method.output_type).FromString
        start = self._channel.unary_stream if streams else self._channel.unary_unary
        call = start(f"/{full}/{name}", type(request).SerializeToString, read)
        return call(request, metadata=(("authorization", f"Bearer {BOOTSTRAP}"),), timeout=20)

    async def call(self, service: str, name: str, /, **fields: Any) -> Any:
        return await self._start(service, name, fields, streams=False)

    def stream(self, service: str, name: str, /, **fields: Any) -> Any:
        return self._start(service, name, fields, streams=True)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_client_of_a_released_version_is_served(api: LocalApi, path: Path) -> None:
    known = version(path)
    async with grpc.aio.insecure_channel(api.target) as channel:
        caller = Caller(channel, known)
        wanted = known.type(TASK)(graph_json=text(GRAPH), display_name="old", labels={"a": "b"})
        made = (await caller.call("TaskService", "CreateTask", task=wanted)).task
        assert (made.display_name, dict(made.labels)) == ("old", {"a": "b"})
        watch = caller.stream("TaskService", "WatchTask", name=made.name)
        messages = aiter(watch)
        first = await anext(messages)
        assert (first.task.name, bool(first.resume_token)) == (made.name, True)
        assert (await caller.call("TaskService", "GetTask", name=made.name)).task.graph_digest == made.graph_digest
        assert [task.name for task in (await caller.call("TaskService", "ListTasks")).tasks] == [made.name]
        await caller.call("TaskService", "CancelTask", name=made.name)
        states = [first.task.state] + [message.task.state async for message in messages if message.HasField("task")]
        assert states[-1] == known.type(TASK).State.Value("STATE_CANCELLED")
        nodes = (await caller.call("FleetService", "ListNodes")).nodes
        assert [node.name for node in nodes] == ["nodes/gpu-1"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.call("TaskService", "GetTask", name="tasks/none")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_nothing_breaks_a_released_contract(path: Path) -> None:
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    ran = subprocess.run(
        [buf, "breaking", "--against", path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("enum", WRITTEN)
def test_what_is_written_is_a_value_that_a_released_version_knows(path: Path, enum: str) -> None:
    """A record with another one is unreadable to it. A new value is read by one version, and written by the next."""
    assert WRITTEN[enum] - version(path).values(enum) == set()


@settings(max_examples=50, deadline=None)
@given(record=tasks.records)
def test_a_record_that_a_released_version_has_read_and_written_is_the_same(path: Path, record: TaskRecord) -> None:
    again = version(path).again(codec.to_message(record))
    assert codec.decode(again) == record


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_a_later_version_has_added_outlives_our_changes(path: Path, *, goes_on: bool) -> None:
    later = Version.released(path, {RECORD: ("added", 1900), TASK: ("also_added", 1901)})
    message = later.type(RECORD).FromString(codec.encode(tasks.queued()))
    message.added, message.task.also_added = "kept", "as well"
    ours = task_record_pb2.TaskRecord.FromString(message.SerializeToString())
    record = codec.from_message(ours, goes_on=goes_on)
    for event in (tasks.assigned(), events.Started(), tasks.failed()):
        record = machine.apply(record, event, tasks.NOW)
        stored = task_record_pb2.TaskRecord.FromString(codec.encode(record))
        read = later.type(RECORD).FromString(stored.SerializeToString())
        assert (read.added, read.task.also_added, read.task.name) == ("kept", "as well", stored.task.name)
        assert codec.decode(stored.SerializeToString()) == record


def test_a_record_of_ours_costs_nothing_for_that(path: Path) -> None:
    assert path
    assert codec.decode(codec.encode(tasks.queued())).definition.unknown == b""
