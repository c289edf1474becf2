"""A node's claim to an attempt: what the log says of it, and everything that the node writes there."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Self

from comfymesh.agent.domain import verdict
from comfymesh.bus.port import BusUnavailableError
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.runtime.patience import patiently
from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import HELD, Key, State, TaskRecord

logger = logging.getLogger(__name__)

_SHORT_SECONDS = 0.05
"""An attempt that is over so soon goes from ASSIGNED to SUCCEEDED: nobody would see it run, and a record costs a sync
of the disk and a message to every watcher."""

_WANTED = frozenset({State.ASSIGNED, State.RUNNING})
_LOST = verdict.failure(FailureClass.INSTANCE_LOST, "the instance does not serve")


class Claim:
    """The right to run one attempt. Each record that it writes is guarded by the one before.

    Args:
        log: The task log.
        record: The attempt's record, as it is in the log or, for an offer, as it will be.
        sequence: What the next record builds on.
        taken: Whether the log has `record`.
    """

    def __init__(self, log: TaskLog, record: TaskRecord, sequence: int, *, taken: bool) -> None:
        self.record = record
        self.taken = taken
        self._log = log
        self._sequence = sequence
        self._began: float | None = None
        self._ending = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    @classmethod
    def offered(cls, log: TaskLog, stored: Stored, node: str, instance: str) -> Self:
        """A claim to a task that waits; it has to be taken."""
        record = machine.apply(stored.record, events.Assigned(node, instance), time.time())
        return cls(log, record, stored.sequence, taken=False)

    @classmethod
    def held(cls, log: TaskLog, stored: Stored) -> Self:
        """A claim that the log has already."""
        return cls(log, stored.record, stored.sequence, taken=True)

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
        """Write the claim to the log. False if somebody was first, or the task is not wanted any more."""
        if not self.taken:
            try:
                await self._write(self.record)
            except StaleRecordError as error:
                logger.info("an offer came too late: %s", error, extra=self.fields("offer_stale"))
                return False
            self.taken = True
        return True

    def begin(self) -> None:
        """ComfyUI executes it. The log is told, but not before it is clear that this lasts a while."""
        if self.began is None:
            self._began = time.time()
            self._telling = asyncio.create_task(self._tell_beginning())

    async def is_wanted(self) -> bool:
        """Whether the log still wants it to run."""
        last = await self._last()
        return last is not None and last.record.attempt == self.number and last.record.state in _WANTED

    async def end(self, event: events.Event) -> None:
        """Write its end. Refused where it is not ours any more; then nothing is lost by it."""
        await self._end_of_telling()
        try:
            if self._began and self.record.state is State.ASSIGNED and not isinstance(event, events.Succeeded):
                await self._append(events.Started(self._began))
            await self._append(event)
        except StaleRecordError as error:
            await self._end_cancelled(error.last)

    async def concede(self) -> None:
        """It has stopped, since the log does not want it any more."""
        await self._end_of_telling()
        await self._end_cancelled(await self._last())

    async def give_up(self, event: events.Event) -> None:
        """Write an end whatever the log has of it by now, for when nothing more can be learned of the attempt."""
        await self._end_of_telling()
        last = await self._last()
        if last is None or last.record.attempt != self.number or last.record.state not in HELD:
            return
        if not machine.allows(last.record, type(event)):
            event = events.Cancelled() if last.record.state is State.CANCELLING else _LOST
        self.record, self._sequence = last.record, last.sequence
        try:
            await self._append(event)
        except StaleRecordError as error:
            await self._end_cancelled(error.last)

    async def close(self) -> None:
        """Write nothing more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    def fields(self, action: str) -> dict[str, object]:
        """Names it in the process's own log."""
        return {"action": action, "tenant": self.key.tenant, "task": self.key.task_id, "attempt": self.number}

    async def _end_cancelled(self, last: Stored | None) -> None:
        """A task that is being cancelled has been, now that its attempt has ended. Any other goes on without us."""
        if last is None or last.record.attempt != self.number or last.record.state is not State.CANCELLING:
            logger.info("an attempt is not ours any more", extra=self.fields("attempt_stale"))
            return
        self.record, self._sequence = last.record, last.sequence
        try:
            await self._append(events.Cancelled())
        except StaleRecordError:
            logger.info("somebody else ended the task", extra=self.fields("attempt_stale"))

    async def _tell_beginning(self) -> None:
        try:
            async with asyncio.timeout(_SHORT_SECONDS):
                await self._ending.wait()
        except TimeoutError:
            try:
                await self._append(events.Started(self._began))
            except StaleRecordError as error:
                # Cancelled, or given up on. An order to stop is on its way.
                logger.info("the beginning of an attempt is no news: %s", error, extra=self.fields("attempt_stale"))

    async def _end_of_telling(self) -> None:
        self._ending.set()
        if self._telling is not None:
            await self._telling

    async def _append(self, event: events.Event) -> None:
        await self._write(machine.apply(self.record, event, time.time()))
        # The task log tells it all; the process's own log need not repeat it for every task.
        logger.debug("task %s is %s", self.key.task_id, self.record.state, extra=self.fields("task_changed"))

    async def _write(self, record: TaskRecord) -> None:
        stored = await self._log.insist(record, self._sequence)
        self.record, self._sequence = record, stored.sequence

    async def _last(self) -> Stored | None:
        return await patiently(lambda: self._log.get(self.key), BusUnavailableError, what="read a task")
