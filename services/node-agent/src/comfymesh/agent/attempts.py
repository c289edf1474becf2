"""The attempts that this node holds: takes work in, runs it, lets it go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from comfymesh.agent.attempt import Attempt
from comfymesh.agent.claim import Claim
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.domain import verdict
from comfymesh.agent.domain.past import Past
from comfymesh.agent.host_clock import by_the_wall
from comfymesh.agent.instance import Instance
from comfymesh.agent.workplace import Workplace
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Message
from comfymesh.bus.streams import WORK
from comfymesh.bus.tasklog import TaskLog
from comfymesh.runtime import logcontext
from comfymesh.runtime.background import Background
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.tasks import codec
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, State
from comfymesh.wire.v1 import work_pb2

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_GIVE_BACK_SECONDS = 3.0
_MAX_REASON = 200
_STOPPING = "the agent is stopping"

_Name = tuple[Key, int]
"""A task, and the number of one of its attempts."""


@dataclass(slots=True)
class _Held:
    claim: Claim
    attempt: Attempt | None = None


class Attempts:
    """Every attempt that this node has claimed, or is about to claim.

    Args:
        bus: The bus.
        node: This node.
        instances: Its instances by name.
        failed: Set when a defect of ours leaves an attempt without an end.
        previews: Whether ComfyUI should make previews.
        passed: Answers how long ago a moment was that a record tells.
        past: What this node may have had before, as a life of the agent begins.

    Attributes:
        closed: Whether nothing new is taken, as operators want it.
        previews: Whether ComfyUI should make previews, for attempts that begin from now on.
    """

    def __init__(
        self,
        bus: Bus,
        node: str,
        instances: Mapping[str, Instance],
        failed: asyncio.Event,
        *,
        previews: bool,
        passed: Callable[[float], float] = by_the_wall,
        past: Past | None = None,
    ) -> None:
        self._passed = passed
        self._bus = bus
        self._log = TaskLog(bus)
        self._node = node
        self._instances = instances
        self.previews = previews
        # Usually one of a task. An older one that was given up on stays until it has stopped.
        self._held: dict[_Name, _Held] = {}
        self._past = past or Past()
        self._running = Background(failed)
        self._leaving = False
        self._returns = ""
        self.closed = False
        self._used: dict[str, float] = {}
        self._offers_taken = Counter[str]()
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[Claim]:
        """What the log gives to this node."""
        return iter([held.claim for held in self._held.values() if held.claim.taken])

    def busy(self, instance: str) -> bool:
        """Whether an instance has an attempt, or is about to have one."""
        return any(held.claim.record.instance == instance for held in self._held.values())

    def used(self, instance: str) -> float:
        """When an attempt has left an instance last, in seconds of a monotonic clock; long ago, if none has."""
        return self._used.get(instance, float("-inf"))

    def offers_taken(self) -> Counter[str]:
        """How many offers to each instance this life of the agent has taken up until now."""
        return self._offers_taken.copy()

    async def take_work(self) -> None:
        """Take in what the scheduler tells this node, for ever."""
        async for message in self._bus.work(WORK, subjects.work(self._node), self._node):
            reached(FaultPoint.WORK_RECEIVED)
            self._take(message)

    def take_order(self, message: Message) -> None:
        """Look again at an attempt that somebody says is not wanted any more."""
        try:
            order = work_pb2.StopAttempt.FromString(message.data)
        except DecodeError as error:
            logger.warning("an order can't be read: %s", error)
            return
        held = self._held.get((Key(order.tenant, order.task_id), order.attempt))
        if held is None or held.attempt is None:
            return
        if order.preempted:
            held.attempt.give_way(clean(order.reason, _MAX_REASON), running=order.running)
        else:
            self._running.spawn(held.attempt.reconsider(), "order")

    def take_interest(self, message: Message) -> None:
        """Somebody watches the previews of a task."""
        with contextlib.suppress(DecodeError):
            interest = work_pb2.PreviewInterest.FromString(message.data)
            for held in self._of_task(Key(interest.tenant, interest.task_id)):
                if held.attempt is not None:
                    held.attempt.show_previews()

    async def drain(self, seconds: float, *, instances_stop: bool) -> None:
        """Give back what has not begun, and let what has begun end within `seconds`.

        What is left then goes on in its instance and is adopted by the next agent, unless the instances stop as well:
        then it is given back too.
        """
        self._leaving = True
        try:
            async with asyncio.timeout(seconds):
                self.hand_back(_STOPPING)
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
                self._give_back(lambda _: True, _STOPPING)
                await self._empty.wait()
        except TimeoutError:
            # Without the bus nobody can be told. The log still has them here, and the next agent looks after them.
            logger.warning("%d attempts could not be given back", len(self._held), extra={"action": "give_back_failed"})

    def hand_back(self, reason: str) -> None:
        """Give back what has not begun, and what this node is told later to have and that has not."""
        self._returns = reason
        self._give_back(lambda attempt: not attempt.started, reason)

    def keep(self) -> None:
        """Give back no more than that."""
        if not self._leaving:
            self._returns = ""

    def _give_back(self, chosen: Callable[[Attempt], bool], reason: str) -> None:
        for held in self._held.values():
            if held.attempt is not None and chosen(held.attempt):
                held.attempt.give_back(reason)

    def _take(self, message: Message) -> None:
        try:
            claim = self._claim(work_pb2.Work.FromString(message.data))
        except (DecodeError, KeyError, ValueError) as error:  # no message, or not of a task as we know them
            logger.warning("work can't be read: %r", error, extra={"action": "work_unreadable"})
            return
        name, others = (claim.key, claim.number), self._of_task(claim.key)
        if any(held.claim.number >= claim.number for held in others) or self._past.has(name):
            return
        if (self._leaving or self.closed) and not claim.taken:
            return  # The scheduler has been told, and offers it to somebody else.
        for held in others:
            if held.attempt is not None:
                self._running.spawn(held.attempt.reconsider(), "older attempt")
        held = self._held[name] = _Held(claim)
        self._offers_taken[claim.record.instance] += not claim.taken
        self._empty.clear()
        self._running.spawn(self._run(held), f"attempt {claim.key.task_id}/{claim.number}")

    def _of_task(self, key: Key) -> list[_Held]:
        return [held for (task, _), held in self._held.items() if task == key]

    def _claim(self, work: work_pb2.Work) -> Claim:
        record = codec.from_message(work.record, goes_on=True)
        if record.state is State.QUEUED:
            return Claim.offered(self._log, self._past, record, work.log_sequence, self._node, work.instance)
        return Claim.held(self._log, self._past, record, work.log_sequence)

    async def _run(self, held: _Held) -> None:
        logcontext.bind(**held.claim.names())
        try:
            await self._run_on_instance(held)
        except Exception as error:  # a defect of ours must cost this attempt, and not all others of this node
            logger.exception("a defect ended an attempt", extra=held.claim.fields("attempt_defect"))
            defect = verdict.failure(FailureClass.INTERNAL, f"a defect of the agent: {error!r}")
            await held.claim.give_up(defect)
        finally:
            await held.claim.close()
            self._let_go(held)

    async def _run_on_instance(self, held: _Held) -> None:
        workplace = await self._workplace(held.claim)
        if workplace is None:
            if held.claim.taken:
                await held.claim.give_up(verdict.of_absence(held.claim.record))
            return
        workplace.enter()
        try:
            held.attempt = Attempt(self._bus, held.claim, workplace, previews=self.previews, passed=self._passed)
            if self._returns and not held.attempt.started:
                held.attempt.give_back(self._returns)  # It was on its way when the drain began.
            await held.attempt.run()
        finally:
            workplace.leave()

    async def _workplace(self, claim: Claim) -> Workplace | None:
        """The instance's workplace. None if there is no such instance, or it does not serve: now, or for too long.

        An offer to an instance that does not serve is left alone; the scheduler learns from the report, and takes it
        elsewhere. What is held already is worth a wait.
        """
        instance, since = self._instances.get(claim.record.instance), time.monotonic()
        while instance is not None and instance.workplace is None:
            if not claim.taken or time.monotonic() - since > _PATIENCE_SECONDS:
                return None
            await asyncio.sleep(_LOOK_SECONDS)
        workplace = instance.workplace if instance else None
        shut = workplace is not None and not workplace.open
        return None if shut and not claim.taken else workplace

    def _let_go(self, held: _Held) -> None:
        name = (held.claim.key, held.claim.number)
        if held.claim.taken or held.attempt is not None:  # Somebody has it: we had it, or were refused it.
            self._past.end(name, held.claim.told_at)
        self._used[held.claim.record.instance] = time.monotonic()
        del self._held[name]
        if not self._held:
            self._empty.set()
