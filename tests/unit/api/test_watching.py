"""What a watcher of one task is told of its progress, which comes from two sources, and can read then."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from unittest.mock import Mock

import pytest

from comfymesh.api.artifacts import Artifacts
from comfymesh.api.errors import RefusedError
from comfymesh.api.hub import Hub
from comfymesh.api.insight import Insight
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watching import Watching
from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.bus.streams import PROGRESS, Stream
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.events import Started
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, assigned, queued
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import spec_pb2

KEY = queued().key


def progress(graph_node: str) -> bytes:
    return task_pb2.TaskProgress(attempt=1, graph_node=graph_node).SerializeToString()


class Hurried(MemoryBus):
    """While it is asked for the progress that was told last, there is more."""

    async def last(self, stream: Stream, subject: str) -> Message | None:
        found = await super().last(stream, subject)
        if stream is PROGRESS:
            await self.publish(subject, progress("second"))
            await asyncio.sleep(0)
        return found


class Behind(MemoryBus):
    """What a task tells of its progress can be read only after a while, and be heard at once: as on a cluster."""

    async def last(self, stream: Stream, subject: str) -> Message | None:
        found = await super().last(stream, subject)
        return None if stream is PROGRESS and asyncio.get_running_loop().time() < self.readable else found

    async def publish(self, subject: str, data: bytes) -> None:
        await super().publish(subject, data)
        self.readable = asyncio.get_running_loop().time() + 0.25


async def running(bus: MemoryBus) -> TaskLog:
    """A log with a task that runs."""
    log = TaskLog(bus)
    stored = await log.create(queued(), spec_pb2.Spec())
    for event in (assigned(), Started()):
        stored = await log.change(stored, event, NOW)
    return log


async def test_what_was_told_before_does_not_come_behind_what_is_told_now() -> None:
    bus, model = Hurried(), ReadModel()
    log = await running(bus)
    await bus.publish(subjects.progress(KEY), progress("first"))
    watching = Watching(Hub(model), log, bus, model, Mock(spec=Insight), 15.0)
    with watching.listening(KEY) as mailbox:
        await watching.begin(mailbox, KEY, 0)
        async with aclosing(watching.follow(mailbox, KEY, previews=False)) as items:
            _, (_, told) = [await anext(items) for _ in range(2)]
    model.close()
    assert isinstance(told, task_pb2.TaskProgress)
    assert told.graph_node == "second"


async def test_an_artifact_can_be_read_by_who_was_told_of_it() -> None:
    bus = Behind()
    artifacts, artifact = Artifacts(await running(bus), bus, Mock()), task_pb2.Artifact(name="tasks/one/artifacts/0")
    told = task_pb2.TaskProgress(attempt=1, artifacts=[artifact])
    await bus.publish(subjects.progress(KEY), told.SerializeToString())
    assert (await artifacts.find("default", artifact.name)).artifact == artifact
    with pytest.raises(RefusedError, match="ARTIFACT_NOT_FOUND"):
        await artifacts.find("default", "tasks/one/artifacts/1")
