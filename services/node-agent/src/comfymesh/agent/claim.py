"""A node's claim to an attempt: what the log says of it, and everything that the node writes there."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Self

from comfymesh.agent.domain import verdict
from comfymesh.agent.domain.past import Past
from comfymesh.bus.port import BusUnavailableError
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog, UnreadableRecordError
from comfymesh.runtime.background import stop
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.runtime.patience import patiently
from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import HELD, Key, State, TaskRecord, Timing

logger = logging.getLogger(__name__)

_SHORT_SECONDS = 0.05
"""An attempt that is over so soon goes from ASSIGNED to SUCCEEDED: nobody would see it run, and a record costs a sync
of the disk and a message to every watcher."""
_STORING_SECONDS = 0.25
"""As long again, from when ComfyUI has executed it: what is left is to read what it made, which a busy machine makes
last, and those who watch it are better served by its end."""

_WANTED = frozenset({State.ASSIGNED, State.RUNNING})
_LOST = verdict.failure(FailureClass.INSTANCE_LOST, "the instance does not serve")


class Claim:
    """The right to run one attempt. Each record that it writes is guarded by the one before.

    Args:
        log: The task log.
        past: What this node may have had before. It is told what is stored.
        record: The attempt's record, as it is in the log or, for an offer, as it will be.
        sequence: What the next record builds on.
        taken: Whether the log has `record`.

    Attributes:
        fresh: Whether this node can't have had the attempt before.
        told_at: Sequence of the record by which this node was told of the attempt.
    """

    def __init__(self, log: TaskLog, past: Past, record: TaskRecord, sequence: int, *, taken: bool) -> None:
        self.record = record
        self.taken = taken
        self.fresh = not taken and past.is_fresh(sequence)
        self.told_at = sequence
        self._log = log
        self._past = past
        self._sequence = sequence
        self._began: float | None = None
        self._short = _SHORT_SECONDS
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None

    @classmethod
    def offered(cls, log: TaskLog, past: Past, record: TaskRecord, sequence: int, node: str, instance: str) -> Self:
        """A claim to a task that waits; it has to be taken."""
        claimed = machine.apply(record, events.Assigned(node, instance), time.time())
        return cls(log, past, claimed, sequence, taken=False)

    @classmethod
    def held(cls, log: TaskLog, past: Past, record: TaskRecord, sequence: int) -> Self:
        """A claim that the log has already, or had when this node was told of it."""
        return cls(log, past, record, sequence, taken=True)

    @property
    def key(self) -> Key:
        """Whose task it is, and which."""
        return self.record.key

    @property
    def number(self) -> int:
        """Which attempt it is."""
        return self.record.attempt

    @property
    def began(self) -> float | None:
        """When ComfyUI began to execute it, seconds since the epoch; None if it has not, as far as we know."""
        return self.record.start_time or self._began

    async def take(self) -> bool:
        """Write the claim to the log. False if somebody was first, or the task is not wanted any more.

        The log may have it already, from an earlier life of this agent, or from a try that was not confirmed and that
        somebody has wished to cancel since. Where it is said to have it, it is asked: that may have come late.
        """
        if self.taken:
            return self._is_ours(await self._last())
        if await self._wrote_claim():
            self.taken = True
            if self._began is not None:
                self._begin_to_tell()
        return self.taken

    def begin(self) -> None:
        """ComfyUI executes it. The log is told, but only behind the claim, and once it is clear that this lasts."""
        if self.began is None:
            self._began = time.time()
            if self.taken:
                self._begin_to_tell()

    def executed(self) -> None:
        """ComfyUI has executed it, and its end is about to be told. Its beginning is so only where that takes long."""
        self._short = _STORING_SECONDS
        if self._timer is not None:
            self._begin_to_tell()

    async def is_wanted(self) -> bool:
        """Whether the log still wants it to run."""
        last = await self._last()
        return last is not None and last.record.attempt == self.number and last.record.state in _WANTED

    async def end(self, event: events.Event) -> None:
        """Write its end, or, where the task is being cancelled, that. Where it is not ours any more, nothing."""
        await self._end_of_telling()
        if self._began and not isinstance(event, events.Succeeded):
            await self._tell_started()
        while not await self._wrote(self._fitting(event)):
            pass

    async def concede(self, timing: Timing | None = None) -> None:
        """It has stopped, since the log does not want it any more. `timing` as in events.Succeeded."""
        await self.give_up(events.Cancelled(timing))

    async def give_up(self, event: events.Event) -> None:
        """Write an end whatever the log has of it by now, for when nothing more can be learned of the attempt."""
        await self._end_of_telling()
        if self._is_ours(await self._last()):
            while not await self._wrote(self._fitting(event)):
                pass

    async def close(self) -> None:
        """Write nothing more."""
        self._forget_to_tell()
        await stop(self._telling)

    def fields(self, action: str) -> dict[str, object]:
        """Names it in the process's own log."""
        return {"action": action, **self.names()}

    def names(self) -> dict[str, object]:
        """Names it in every line that is logged for it."""
        return {"tenant": self.key.tenant, "task": self.key.task_id, "attempt": self.number}

    async def _wrote_claim(self) -> bool:
        reached(FaultPoint.CLAIM_DECIDED)
        try:
            await self._write(self.record)
        except StaleRecordError as error:
            if error.last is None or not self._same_place(error.last.record) or not self._is_ours(error.last):
                logger.info("an offer came too late: %s", error, extra=self.fields("offer_stale"))
                return False
        except UnreadableRecordError as error:
            logger.info("an offer can't be taken: %s", error, extra=self.fields("offer_stale"))
            return False
        reached(FaultPoint.CLAIM_STORED)
        return True

    def _same_place(self, record: TaskRecord) -> bool:
        return (record.node, record.instance) == (self.record.node, self.record.instance)

    def _begin_to_tell(self) -> None:
        self._forget_to_tell()
        self._timer = asyncio.get_running_loop().call_later(self._short, self._tell)

    def _forget_to_tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        self._timer = None
        self._telling = asyncio.create_task(self._tell_started())

    async def _tell_started(self) -> None:
        if self.record.state is State.ASSIGNED:
            await self._wrote(events.Started(self._began))
            reached(FaultPoint.START_STORED)

    def _fitting(self, event: events.Event) -> events.Event:
        """The event, or what it comes to as the task now stands."""
        if machine.allows(self.record, type(event)):
            return event
        if self.record.state is not State.CANCELLING:
            return _LOST
        return events.Cancelled(_timing_of(event))

    async def _wrote(self, event: events.Event) -> bool:
        """Append an event. False if the record has changed, and the attempt is still ours to end."""
        try:
            await self._append(event)
        except StaleRecordError as error:
            if self._is_ours(error.last):
                return False
            logger.info("an attempt is not ours any more: %s", error, extra=self.fields("attempt_stale"))
        except UnreadableRecordError as error:
            logger.warning("an attempt can't be ended: %s", error, extra=self.fields("attempt_unreadable"))
        return True

    def _is_ours(self, last: Stored | None) -> bool:
        """Whether the log still gives the attempt to us; if so, what is written next builds on what it has.

        Besides a wish to cancel, it may have what an earlier life of this agent has sent, and we do not know of.
        """
        if last is None or last.record.attempt != self.number or last.record.state not in HELD:
            return False
        self.record, self._sequence = last.record, last.sequence
        return True

    async def _end_of_telling(self) -> None:
        self._forget_to_tell()
        if self._telling is not None:
            await self._telling

    async def _append(self, event: events.Event) -> None:
        await self._write(machine.apply(self.record, event, time.time()))
        # The task log tells it all; of what goes well, the process's own log need not repeat it for every task.
        if isinstance(event, events.AttemptFailed):
            told = self.fields("attempt_failed") | {"failure": event.error.failure}
            logger.info("an attempt at task %s failed: it is %s", self.key.task_id, self.record.state, extra=told)
        else:
            logger.debug("task %s is %s", self.key.task_id, self.record.state, extra=self.fields("task_changed"))

    async def _write(self, record: TaskRecord) -> None:
        stored = await self._log.insist(record, self._sequence)
        self.record, self._sequence = record, stored.sequence
        self._past.stored(stored.sequence)

    async def _last(self) -> Stored | None:
        """The task as it stands; None for one that is gone, or that nobody can read and so nobody can run."""
        try:
            return await patiently(lambda: self._log.get(self.key), BusUnavailableError, what="read a task")
        except UnreadableRecordError as error:
            logger.warning("an attempt is let go: %s", error, extra=self.fields("attempt_unreadable"))
            return None


def _timing_of(end: events.Event) -> Timing | None:
    """Where the time of an attempt went, whatever its end is told as."""
    return end.timing if isinstance(end, events.Succeeded | events.AttemptFailed | events.Cancelled) else None
