"""A node around a bench, which is told of work."""

from __future__ import annotations

import asyncio

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.domain.past import Past
from comfymesh.agent.instance import Instance
from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.bus.tasklog import Stored
from comfymesh.testkit.benches import Bench, began
from comfymesh.wire.v1 import work_pb2


class Node:
    """Node `a` with its instance `x`, and what the scheduler tells it. Takes work from the beginning.

    Args:
        bench: Where it is.
        past: What it may have had before; by default nothing that the log has.

    Attributes:
        instances: Its instances by name.
        failed: Set when a defect has left an attempt without an end.
        attempts: What it holds.
    """

    def __init__(self, bench: Bench, past: Past | None = None) -> None:
        self.bench = bench
        self.session = bench.session
        self.instances: dict[str, Instance] = {"x": bench.instance()}
        self.failed = asyncio.Event()
        past = past or began(0)
        self.attempts = Attempts(bench.bus, "a", self.instances, self.failed, previews=False, past=past)
        self._taking = asyncio.create_task(self.attempts.take_work())

    async def close(self) -> None:
        """Its agent ends."""
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)
        await self.attempts.close()

    async def tell(self, stored: Stored, instance: str = "") -> None:
        """The scheduler tells of a task: offers it to an instance, or repeats that the node holds it."""
        work = work_pb2.Work(record=stored.message, log_sequence=stored.sequence, instance=instance)
        await self.send(work.SerializeToString())

    async def send(self, data: bytes) -> None:
        """Work comes in, whatever it holds."""
        await self.bench.bus.publish(subjects.work("a"), data)
        await settle()

    def order(self, task_id: str = "one", attempt: int = 1, **how: bool) -> None:
        """An attempt is said not to be wanted, or to have to give way."""
        order = work_pb2.StopAttempt(tenant="default", task_id=task_id, attempt=attempt, reason="for another", **how)
        self.attempts.take_order(Message(subjects.control("a"), order.SerializeToString()))

    @property
    def held(self) -> list[tuple[str, int]]:
        """Task and number of every attempt that it reports."""
        return [(claim.key.task_id, claim.number) for claim in self.attempts]


async def settle() -> None:
    """Wait until whatever can happen at once has happened; only in virtual time."""
    await asyncio.sleep(0.001)
