"""An agent's parts around a scripted ComfyUI, with a log, a bus and a store in memory."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Mapping
from typing import Any

from comfymesh.agent.attempt import Attempt
from comfymesh.agent.claim import Claim
from comfymesh.agent.comfyui.outcome import Succeeded
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.domain.folders import Folders
from comfymesh.agent.domain.past import Past
from comfymesh.agent.instance import Instance
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.workplace import Files, Workplace
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.bus import subjects
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks import codec
from comfymesh.tasks.events import Event
from comfymesh.tasks.record import Key, State, TaskRecord, prompt_id
from comfymesh.testkit.graphs import node
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.scripted import ScriptedRuntime, ScriptedSession
from comfymesh.testkit.tasks import NOW, queued
from comfymesh.wire.v1 import spec_pb2

NODE, INSTANCE = "a", "x"
MAX_BYTES = 1000
FOLDERS = Folders(b"the secret of node a")
GRAPH = {"1": node("EmptyImage", width=16), "9": node("SaveImage", images=["1", 0], filename_prefix="picture")}
PICTURE = {"9": {"images": [{"filename": "picture.png", "subfolder": "", "type": "output"}]}}
SUCCESS = Succeeded(PICTURE)


class Bench:
    """One instance of node `a`, named `x`, and the tasks that come there. It has made `picture.png`.

    Attributes:
        bus: The log's, and everything else's but the store's.
        store_bus: The store's own, so that it can fail alone.
    """

    def __init__(self) -> None:
        self.bus, self.store_bus = MemoryBus(), MemoryBus()
        self.log, self.store = TaskLog(self.bus), BusStore(self.store_bus)
        self.session = ScriptedSession()
        self.session.http.files["picture.png"] = b"picture"
        self.leftovers = Leftovers(self.session, self.log, NODE, INSTANCE)
        self.workplace = Workplace(self.session, self.log, Files(self.store, MAX_BYTES, FOLDERS), self.leftovers)

    async def task(self, *happened: Event, spec: spec_pb2.Spec | None = None, **definition: Any) -> Stored:
        """A task in the log to which all this has happened; `definition` as for `tasks.queued`."""
        stored = await self.log.create(queued(**definition), spec or packed(GRAPH))
        for event in happened:
            stored = await self.log.change(stored, event, NOW)
        return stored

    async def happen(self, event: Event, task_id: str = "one") -> Stored:
        """Somebody else changes a task in the log."""
        stored = await self.log.get(Key("default", task_id))
        assert stored is not None
        return await self.log.change(stored, event, NOW)

    def offered(self, stored: Stored, *, fresh: bool = True) -> Claim:
        """The claim to a task that is offered to the instance."""
        return Claim.offered(self.log, began(0) if fresh else Past(), stored.record, stored.sequence, NODE, INSTANCE)

    def held(self, stored: Stored) -> Claim:
        """The claim to an attempt that the log gives to the instance."""
        return Claim.held(self.log, Past(), stored.record, stored.sequence)

    def attempt(self, claim: Claim, *, previews: bool = False) -> Attempt:
        """An attempt on the instance."""
        return Attempt(self.bus, claim, self.workplace, previews=previews)

    async def attempt_at(self, *happened: Event, **definition: Any) -> tuple[Attempt, asyncio.Task[None]]:
        """An attempt that runs: of a task that waits, or, where all this has happened, of one that was begun."""
        stored = await self.task(*happened, **definition)
        waits = stored.record.state is State.QUEUED
        attempt = self.attempt(self.offered(stored) if waits else self.held(stored))
        return attempt, asyncio.create_task(attempt.run())

    def records(self, task_id: str = "one") -> list[TaskRecord]:
        """Everything that the log has of a task, oldest first."""
        return [codec.decode(m.data) for m in self.bus.stored(subjects.task(Key("default", task_id)))]

    def states(self, task_id: str = "one") -> list[State]:
        """Through which states a task has gone."""
        return [record.state for record in self.records(task_id)]

    def last(self, task_id: str = "one") -> TaskRecord:
        """A task as it stands."""
        return self.records(task_id)[-1]

    def instance(self, *, serves: bool = True) -> Instance:
        """The instance, as somebody else keeps it alive."""
        instance = Instance(INSTANCE, "process", ScriptedRuntime(), self.store, lambda _: self.workplace, lambda: None)
        if serves:
            instance.condition, instance.workplace = Condition(InstanceState.READY), self.workplace
        return instance


def began(sequence: int) -> Past:
    """The past of an agent whose first record the log has at `sequence`: what comes later is fresh."""
    past = Past()
    past.stored(sequence)
    return past


def prompt_of(task_id: str = "one", attempt: int = 1) -> str:
    """The id of an attempt's prompt."""
    return prompt_id(Key("default", task_id), attempt, NODE, INSTANCE)


def packed(graph: Mapping[str, Any], *assets: spec_pb2.AssetBinding) -> spec_pb2.Spec:
    """A graph as the log keeps it."""
    return spec_pb2.Spec(graph_zlib=zlib.compress(json.dumps(graph).encode()), assets=assets)
