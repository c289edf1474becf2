"""The attempts that this node holds: takes work in, runs it, lets it go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from comfymesh.agent.attempt import Attempt
from comfymesh.agent.domain import verdict
from comfymesh.agent.instance import Instance
from comfymesh.agent.workplace import Workplace
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Message
from comfymesh.bus.streams import WORK
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.runtime.background import Background
from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import HELD, Key, State
from comfymesh.wire.v1 import work_pb2

logger = logging.getLogger(__name__)

_REMEMBERED = 4096
_CLOCK_SKEW_SECONDS = 5.0
"""How far the clocks of agent and scheduler may be apart."""

_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_GIVE_BACK_SECONDS = 3.0
_STOPPING = "the agent is stopping"

_LOST = verdict.failure(FailureClass.INSTANCE_LOST, "the instance does not serve")


@dataclass(slots=True)
class _Held:
    stored: Stored
    attempt: Attempt | None = None

    @property
    def number(self) -> int:
        return self.stored.record.attempt


class Attempts:
    """Every attempt that the log gives to this node.

    Args:
        bus: The bus.
        node: This node.
        instances: Its instances by name.
        previews: Whether ComfyUI should make previews.
    """

    def __init__(self, bus: Bus, node: str, instances: Mapping[str, Instance], *, previews: bool) -> None:
        self._bus = bus
        self._log = TaskLog(bus)
        self._node = node
        self._instances = instances
        self._previews = previews
        self._held: dict[Key, _Held] = {}
        self._ended: OrderedDict[tuple[Key, int], None] = OrderedDict()
        self._running = Background()
        self._leaving = False
        self._born = time.time()
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[Stored]:
        """What this node holds."""
        return iter([held.stored for held in self._held.values()])

    async def take_work(self) -> None:
        """Take in what the scheduler gives this node, for ever."""
        async for message in self._bus.work(WORK, subjects.work(self._node), self._node):
            self._take(message)

    def take_order(self, message: Message) -> None:
        """Look again at an attempt that somebody says is not wanted any more."""
        try:
            order = work_pb2.StopAttempt.FromString(message.data)
        except DecodeError as error:
            logger.warning("an order can't be read: %s", error)
            return
        held = self._held.get(Key(order.tenant, order.task_id))
        if held is not None and held.number == order.attempt and held.attempt is not None:
            self._running.spawn(held.attempt.reconsider(), "order")

    def take_interest(self, message: Message) -> None:
        """Somebody watches the previews of a task."""
        with contextlib.suppress(DecodeError):
            interest = work_pb2.PreviewInterest.FromString(message.data)
            held = self._held.get(Key(interest.tenant, interest.task_id))
            if held is not None and held.attempt is not None:
                held.attempt.show_previews()

    async def drain(self, seconds: float, *, instances_stop: bool) -> None:
        """Give back what has not begun, and let what has begun end within `seconds`.

        What is left then goes on in its instance and is adopted by the next agent, unless the instances stop as well:
        then it is given back too.
        """
        self._leaving = True
        try:
            async with asyncio.timeout(seconds):
                await self._give_back(lambda attempt: not attempt.started)
                await self._empty.wait()
        except TimeoutError:
            logger.info("%d attempts are still running", len(self._held), extra={"action": "drain_over"})
        if instances_stop and self._held:
            await self._give_back_all()

    async def close(self) -> None:
        """Stop following what is still held."""
        await self._running.close()

    async def _give_back_all(self) -> None:
        try:
            async with asyncio.timeout(_GIVE_BACK_SECONDS):
                await self._give_back(lambda _: True)
                await self._empty.wait()
        except TimeoutError:
            # Without the bus nobody can be told. The log still has them here, and the next agent looks after them.
            logger.warning("%d attempts could not be given back", len(self._held), extra={"action": "give_back_failed"})

    async def _give_back(self, chosen: Callable[[Attempt], bool]) -> None:
        attempts = [held.attempt for held in self._held.values() if held.attempt is not None]
        back = (attempt.give_back(_STOPPING) for attempt in attempts if chosen(attempt))
        await asyncio.gather(*back)

    def _take(self, message: Message) -> None:
        try:
            work = work_pb2.Work.FromString(message.data)
        except DecodeError as error:
            logger.warning("work can't be read: %s", error)
            return
        key = Key(work.record.tenant, work.record.task_id)
        stored = Stored(key, work.log_sequence, work.record.SerializeToString())
        held = self._held.get(key)
        if (held is not None and held.number >= stored.record.attempt) or (key, stored.record.attempt) in self._ended:
            return
        self._held[key] = _Held(stored)
        self._empty.clear()
        self._running.spawn(self._run(self._held[key]), f"attempt {key.task_id}/{stored.record.attempt}")

    async def _run(self, held: _Held) -> None:
        try:
            await self._run_on_instance(held)
        except Exception as error:  # a defect of ours must cost this attempt, and not all others of this node
            logger.exception("a defect ended an attempt", extra={"task": held.stored.key.task_id})
            await self._end(held, verdict.failure(FailureClass.INTERNAL, f"a defect of the agent: {error!r}"))
        finally:
            self._let_go(held)

    async def _run_on_instance(self, held: _Held) -> None:
        record = held.stored.record
        workplace = await self._workplace(record.instance)
        if workplace is None:
            await self._hand_back(held)
            return
        workplace.enter()
        try:
            early = record.state is not State.ASSIGNED or record.update_time < self._born + _CLOCK_SKEW_SECONDS
            held.attempt = Attempt(self._bus, held.stored, workplace, may_be_known=early, previews=self._previews)
            if self._leaving and not held.attempt.started:
                await held.attempt.give_back(_STOPPING)  # It was on its way when the drain began.
            await held.attempt.run()
        finally:
            workplace.leave()

    async def _workplace(self, name: str) -> Workplace | None:
        """The instance's workplace; None if there is no such instance, or it does not serve for too long."""
        instance, since = self._instances.get(name), time.monotonic()
        while instance is not None and instance.workplace is None:
            if time.monotonic() - since > _PATIENCE_SECONDS:
                return None
            await asyncio.sleep(_LOOK_SECONDS)
        return instance.workplace if instance else None

    async def _hand_back(self, held: _Held) -> None:
        reason = f"instance {held.stored.record.instance} does not serve"
        match held.stored.record.state:
            case State.ASSIGNED:
                await self._end(held, events.Released(f"handed back: {reason}"))
            case State.CANCELLING:
                await self._end(held, events.Cancelled())
            case _:
                await self._end(held, verdict.failure(FailureClass.INSTANCE_LOST, reason))

    async def _end(self, held: _Held, event: events.Event) -> None:
        """End an attempt that nothing more can be learned of, whatever the log has of it by now."""
        last = await self._read(held.stored.key)
        if last is None or last.record.attempt != held.number or last.record.state not in HELD:
            return
        if not machine.allows(last.record, type(event)):
            event = events.Cancelled() if last.record.state is State.CANCELLING else _LOST
        try:
            await self._log.insist(machine.apply(last.record, event, time.time()), last.sequence)
        except StaleRecordError as error:
            logger.info("an attempt is not ours any more: %s", error)

    async def _read(self, key: Key) -> Stored | None:
        while True:
            try:
                return await self._log.get(key)
            except BusUnavailableError:
                await asyncio.sleep(_LOOK_SECONDS)

    def _let_go(self, held: _Held) -> None:
        key = held.stored.key
        self._ended[key, held.number] = None
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        if self._held.get(key) is held:
            del self._held[key]
        if not self._held:
            self._empty.set()
