"""Several change the same at once, on a cluster that is slow to confirm and forgets some of it (docs/adr/0091)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeAlias
from unittest.mock import AsyncMock, MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh import graphs
from comfymesh.api.access.directory import Directory
from comfymesh.api.errors import RefusedError
from comfymesh.api.policies import Policies
from comfymesh.api.workflows.registry import Workflows
from comfymesh.api.workflows.store import WorkflowStore
from comfymesh.bus import streams, subjects
from comfymesh.bus.intents import Intent, IntentStore
from comfymesh.bus.policies import PolicyStore
from comfymesh.bus.port import Bus, BusUnavailableError, Entry, Message, SequenceConflictError
from comfymesh.bus.tasklog import Stored
from comfymesh.notifier.memory import Memory
from comfymesh.notifier.webhooks.payload import webhook_of
from comfymesh.notifier.webhooks.queue import WebhookQueue
from comfymesh.tasks import codec
from comfymesh.tasks.record import State
from comfymesh.testkit.simulation.bus import TIMEOUT, Roughness, SimulatedBus, begin
from comfymesh.testkit.simulation.cluster import SimulatedCluster
from comfymesh.testkit.simulation.lives import Life, adopt
from comfymesh.testkit.simulation.loop import VirtualLoop
from comfymesh.testkit.tasks import queued
from comfymesh.v1.key_pb2 import Key
from comfymesh.v1.scheduling_policy_pb2 import SchedulingPolicy, TenantPolicy
from comfymesh.v1.scheduling_service_pb2 import UpdatePolicyRequest
from comfymesh.v1.tenant_pb2 import Tenant
from comfymesh.v1.workflow_pb2 import Workflow
from comfymesh.v1.workflow_service_pb2 import CreateWorkflowRequest, UpdateWorkflowRequest
from comfymesh.wire.v1.account_pb2 import KeyRecord

SLOW = 0.5
"""Seconds for which a guarded message is on its way, as a mean. Reading and trying again takes a hundredth of it."""

CHANGES = "abc"
MOST = len(CHANGES) * len(CHANGES) * 101
"""Each is proposed 101 times at most before it is given up, and begins anew only where another was stored."""


class Bounded(random.Random):
    """Draws nothing so rare that a message of the mean SLOW takes longer than 3.8 s: after 5 nobody waits for it.

    One message of 22,000 did, which no change can help.
    """

    def random(self) -> float:
        return min(super().random(), 0.9995)


class Cluster(SimulatedCluster):
    """Counts what it is asked to store."""

    def __init__(self, seed: int, forsaken: float, replicating: float) -> None:
        rough = Roughness(replicating=replicating, forsaken=forsaken)
        super().__init__(asyncio.get_running_loop().time, rough, Bounded(seed))
        self.proposed = 0

    async def propose(self, entries: Sequence[Entry]) -> list[int | None]:
        """See guards.Propose."""
        self.proposed += 1
        return await super().propose(entries)


Act: TypeAlias = Callable[[SimulatedBus, Cluster], Coroutine[Any, Any, Any]]


def on_a_cluster(act: Act, seed: int = 1, forsaken: float = 0.0, replicating: float = SLOW) -> Any:
    async def main() -> Any:
        cluster = Cluster(seed, forsaken, replicating)
        return await act(SimulatedBus(cluster, Life("one"), Roughness(), random.Random(seed)), cluster)

    loop = VirtualLoop(adopt)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


@asynccontextmanager
async def directory(bus: Bus) -> AsyncIterator[Directory]:
    made = Directory(bus, asyncio.get_running_loop().time)
    following = asyncio.ensure_future(made.follow())
    try:
        yield made
    finally:
        following.cancel()


# What can be changed: each is there as `make` makes it, and each change adds a letter that `read` finds.


class Tenants:
    async def make(self, bus: Bus) -> None:
        async with directory(bus) as tenants:
            await tenants.add_tenant(Tenant(name="tenants/acme"))

    async def add(self, bus: Bus, letter: str) -> None:
        def change(tenant: Tenant) -> None:
            tenant.display_name += letter

        async with directory(bus) as tenants:
            await tenants.change_tenant("tenants/acme", "", change)

    async def read(self, bus: Bus) -> str:
        last = await bus.last(streams.ACCOUNTS, subjects.tenant("acme"))
        assert last is not None
        return Tenant.FromString(last.data).display_name


class Keys:
    name = "tenants/default/keys/one"

    async def make(self, bus: Bus) -> None:
        async with directory(bus) as keys:
            await keys.add_key(KeyRecord(key=Key(name=self.name)))

    async def add(self, bus: Bus, letter: str) -> None:
        def change(record: KeyRecord) -> bool:
            record.key.display_name += letter
            return True

        async with directory(bus) as keys:
            await keys.change_key(self.name, change)

    async def read(self, bus: Bus) -> str:
        async with directory(bus) as keys:
            return (await keys.key(self.name)).key.display_name


class Intents:
    async def make(self, bus: Bus) -> None:
        await IntentStore(bus).change("node", lambda intent: intent)

    async def add(self, bus: Bus, letter: str) -> None:
        def change(intent: Intent) -> Intent:
            return replace(intent, reason=intent.reason + letter)

        await IntentStore(bus).change("node", change)

    async def read(self, bus: Bus) -> str:
        return (await IntentStore(bus).read("node")).reason


class Policy:
    async def make(self, bus: Bus) -> None:
        """There is one."""

    async def add(self, bus: Bus, letter: str) -> None:
        request = UpdatePolicyRequest(policy=SchedulingPolicy(tenants={letter: TenantPolicy(weight=2.0)}))
        request.update_mask.paths.append(f"tenants.{letter}")
        await Policies(PolicyStore(bus)).update(request)

    async def read(self, bus: Bus) -> str:
        return "".join((await PolicyStore(bus).read()).settings.tenants)


class WorkflowWords:
    """Each letter is in another field of the workflow."""

    fields = MappingProxyType({"a": "display_name", "b": "description", "c": "labels"})

    def workflows(self, bus: Bus) -> Workflows:
        shelf, clock = MagicMock(until=AsyncMock()), asyncio.get_running_loop().time
        model = MagicMock(has_tasks_of=MagicMock(return_value=False))
        return Workflows(WorkflowStore(bus), shelf, model, MagicMock(), AsyncMock(), clock, graphs.DEFAULT_LIMITS)

    async def make(self, bus: Bus) -> None:
        workflow = Workflow(graph_json='{"1": {"class_type": "SaveImage", "inputs": {}}}')
        await self.workflows(bus).create("default", CreateWorkflowRequest(workflow_id="one", workflow=workflow))

    async def add(self, bus: Bus, letter: str) -> None:
        changed = Workflow(name="workflows/one", display_name="a", description="b", labels={"c": "c"})
        request = UpdateWorkflowRequest(workflow=changed)
        request.update_mask.paths.append(self.fields[letter])
        await self.workflows(bus).update("default", request)

    async def read(self, bus: Bus) -> str:
        found = await self.workflows(bus).get("default", "workflows/one")
        return "".join(letter for letter, field in self.fields.items() if getattr(found, field))


KINDS = [Tenants(), Keys(), Intents(), Policy(), WorkflowWords()]
Kind: TypeAlias = Tenants | Keys | Intents | Policy | WorkflowWords


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), forsaken=st.sampled_from([0.0, 0.3]))
def test_no_change_is_refused_or_lost_since_another_is_on_its_way(kind: Kind, seed: int, forsaken: float) -> None:
    async def act(bus: SimulatedBus, cluster: Cluster) -> None:
        await made(kind, bus)
        cluster.proposed = 0
        answers = await asyncio.gather(*(kind.add(bus, letter) for letter in CHANGES), return_exceptions=True)
        assert cluster.proposed <= MOST
        for answer in answers:
            assert answer is None or (forsaken and isinstance(answer, BusUnavailableError))
        confirmed = {letter for letter, answer in zip(CHANGES, answers, strict=True) if answer is None}
        assert confirmed <= set(await kind.read(bus))

    on_a_cluster(act, seed, forsaken)


async def made(kind: Kind, bus: Bus) -> None:
    """It is there, however often it takes."""
    while True:
        try:
            await kind.make(bus)
        except BusUnavailableError:
            continue
        except RefusedError:
            pass  # By an earlier try.
        return


def test_a_tenant_is_told_to_be_there_only_once_it_is() -> None:
    """Of the first it is not known for seconds whether it comes to nothing, which it does."""

    async def act(bus: SimulatedBus, cluster: Cluster) -> None:
        async def create() -> bool:
            async with directory(bus) as tenants:
                try:
                    await tenants.add_tenant(Tenant(name="tenants/acme"))
                except RefusedError:
                    assert cluster.stored(subjects.tenant("acme"))
                    return False
                return True

        answers = await asyncio.gather(*(create() for _ in CHANGES), return_exceptions=True)
        there = bool(cluster.stored(subjects.tenant("acme")))
        assert answers.count(True) == there
        assert all(there or isinstance(answer, BusUnavailableError) for answer in answers)

    for seed in range(20):
        on_a_cluster(act, seed, forsaken=0.5)


def test_a_notifier_does_not_take_its_own_state_for_that_of_another() -> None:
    """The first try is not confirmed in time, and still on its way when it is repeated."""

    async def act(bus: SimulatedBus, cluster: Cluster) -> int:
        await Memory(bus).store(b"state")
        return len(cluster.stored(subjects.NOTIFIER_STATE))

    for seed in range(20):
        assert on_a_cluster(act, seed, replicating=2 * TIMEOUT) == 1


def test_a_webhook_is_not_taken_for_queued_that_comes_to_nothing() -> None:
    """It was on its way when the notifier was killed."""
    record = queued("one", callback_url="https://callbacks.example/hook", callback_states=(State.QUEUED,))
    stored = Stored(record.key, 1, codec.encode(record))
    subject = subjects.webhook(record.key.tenant, webhook_of(stored)[0])

    async def act(bus: SimulatedBus, cluster: Cluster) -> int:
        begin(cluster.propose([Entry(subject, b"", 0)]))
        await WebhookQueue(bus, AsyncMock(), asyncio.get_running_loop().time).add(stored)
        return len(cluster.stored(subject))

    for seed in range(20):
        assert on_a_cluster(act, seed, forsaken=0.7) == 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), forsaken=st.sampled_from([0.0, 0.3, 0.9]), slow=st.floats(0.001, 2 * TIMEOUT))
def test_whoever_is_refused_can_read_why(seed: int, forsaken: float, slow: float) -> None:
    entry = Entry("task.default.one", b"", 0)

    async def act(bus: SimulatedBus, cluster: Cluster) -> None:
        async def append(number: int) -> Message | None:
            try:
                await bus.append([Entry("spec.default.one.graph", b""), replace(entry, data=bytes([number]))])
            except SequenceConflictError as refused:
                return refused.last
            return await bus.last(streams.TASKS, entry.subject)

        answers = await asyncio.gather(*map(append, range(5)), return_exceptions=True)
        stored = cluster.stored(entry.subject)
        assert all(isinstance(answer, BusUnavailableError) or [answer] == stored for answer in answers)
        assert len(cluster.stored("spec.>")) <= 5
        assert cluster.proposed <= 5 * 101

    on_a_cluster(act, seed, forsaken, slow)
