"""Runs one attempt on one instance, from its work message to its end in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from comfymesh.agent.collecting import OutputsLostError
from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable, GraphRefused
from comfymesh.agent.comfyui.events import Event as ComfyEvent
from comfymesh.agent.comfyui.events import ExecutionStarted, NodeOutput
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Outcome, Succeeded
from comfymesh.agent.domain import verdict
from comfymesh.agent.relay import Relay
from comfymesh.agent.workplace import Workplace
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.bus.port import Bus, BusUnavailableError
from comfymesh.bus.tasklog import SpecMissingError, StaleRecordError, Stored, TaskLog
from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Artifact, State, TaskRecord, prompt_id
from comfymesh.telemetry import tracing

logger = logging.getLogger(__name__)

_RETRY_WAIT = 0.25
_STOP_TRIES = 20
_WANTED = frozenset({State.ASSIGNED, State.RUNNING})


class Attempt:
    """One attempt, until its end is in the log or the log says that it is somebody else's.

    Args:
        bus: The bus.
        stored: The record that gave it to this node.
        workplace: The instance.
        may_be_known: Whether an earlier life of this agent may have submitted it already.
        previews: Whether ComfyUI should make previews.
    """

    def __init__(self, bus: Bus, stored: Stored, workplace: Workplace, *, may_be_known: bool, previews: bool) -> None:
        self._bus = bus
        self._log = TaskLog(bus)
        self._stored = stored
        self._workplace = workplace
        self._may_be_known = may_be_known
        self._previews = previews
        self._prompt_id = prompt_id(stored.key, stored.record.attempt)
        self._relay = Relay(bus, stored.key, stored.record.attempt)
        self._collecting = workplace.collecting(stored.key.tenant)
        self._starting: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._timed_out = False
        self._unwanted = False
        self._giving_back = ""
        self.instance = stored.record.instance
        self.number = stored.record.attempt

    @property
    def started(self) -> bool:
        """Whether ComfyUI has begun to execute it."""
        return self._starting is not None or self._record.state is not State.ASSIGNED

    @property
    def _record(self) -> TaskRecord:
        return self._stored.record

    async def run(self) -> None:
        """Execute it, store what it made, and write its end to the log."""
        context = tracing.parent(self._record.definition.trace_parent)
        with tracing.tracer.start_as_current_span("attempt", context=context) as span:
            span.set_attributes({"comfymesh.task": self._stored.key.task_id, "comfymesh.attempt": self.number})
            relaying = asyncio.create_task(self._relay.run())
            try:
                if self._record.state is State.CANCELLING:
                    await self._finish_cancelling()
                else:
                    await self._commit(await self._end())
            finally:
                relaying.cancel()
                await self._collecting.close()
                await asyncio.gather(relaying, return_exceptions=True)
                self._workplace.forget(self._prompt_id)

    def show_previews(self) -> None:
        """Somebody watches."""
        self._relay.wanted()

    async def reconsider(self) -> None:
        """Somebody says that the attempt is not wanted. Only the log is believed."""
        last = await self._read()
        if last is not None and last.record.attempt == self.number and last.record.state in _WANTED:
            return
        self._unwanted = True
        await self.interrupt()

    async def give_back(self, reason: str) -> None:
        """Let somebody else run it."""
        self._giving_back = reason
        await self.interrupt()

    async def interrupt(self) -> None:
        """Stop it in ComfyUI; `run` then finds out what that means."""
        for _ in range(_STOP_TRIES):
            try:
                await self._workplace.session.cancel(self._prompt_id)
            except (ComfyUnreachable, ComfyError) as error:
                logger.info("can't stop a prompt now: %s", error, extra=self._fields("stop_failed"))
                await asyncio.sleep(_RETRY_WAIT)
            else:
                return

    async def _end(self) -> events.Event:
        """Execute it; answers the event that ends it."""
        try:
            outcome = await self._execute()
            return await self._judge(outcome)
        except GraphRefused as error:
            return verdict.of_refusal(error)
        except ComfyUnreachable as error:
            return verdict.of_loss(Lost(str(error)), started=self.started)
        except ComfyError as error:
            return verdict.of_error(error)
        except (SpecMissingError, BlobMissingError) as error:
            return verdict.failure(FailureClass.INTERNAL, str(error))
        except OutputsLostError as error:
            return verdict.failure(FailureClass.OUTPUT_LOST, str(error))

    async def _execute(self) -> Outcome:
        session = self._workplace.session
        if self._may_be_known and await session.look(self._prompt_id) is not Standing.UNKNOWN:
            logger.info("adopted a prompt", extra=self._fields("attempt_adopted"))
            self._begin()
            return await self._in_line(session.resume(self._prompt_id, self._observe))
        if self.started:
            return Lost("the instance no longer knows the prompt that was submitted to it")
        graph = await self._stage()
        if self._unwanted or self._giving_back:
            return Interrupted()
        self._relay.executing(graph)
        extra = {"preview_method": "auto"} if self._previews else None
        return await self._in_line(session.execute(self._prompt_id, graph, extra_data=extra, observer=self._observe))

    async def _in_line(self, execution: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Follow a prompt. One that was lost keeps its place in the line: those behind it had no part in that."""
        outcome: Outcome | None = None
        self._workplace.line.append(self._prompt_id)
        try:
            outcome = await self._within_time(execution)
        finally:
            if not isinstance(outcome, Lost):
                self._workplace.line.remove(self._prompt_id)
        return outcome

    async def _stage(self) -> dict[str, Any]:
        while True:
            try:
                return await self._workplace.staging.graph(self._record)
            except (BusUnavailableError, StoreUnavailableError) as error:
                logger.info("can't stage yet: %s", error, extra=self._fields("staging_waits"))
                await asyncio.sleep(_RETRY_WAIT)

    async def _within_time(self, execution: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Follow the prompt; once the execution timeout has passed it is interrupted, and still followed to its end."""
        following: asyncio.Task[Outcome] = asyncio.create_task(execution)
        limit = asyncio.create_task(self._limit_time())
        try:
            return await following
        finally:
            limit.cancel()
            following.cancel()
            await asyncio.gather(limit, following, return_exceptions=True)

    async def _limit_time(self) -> None:
        await self._begun.wait()
        began = self._record.start_time or time.time()
        await asyncio.sleep(max(0.0, began + self._record.definition.execution_timeout - time.time()))
        self._timed_out = True
        await self.interrupt()

    def _observe(self, event: ComfyEvent) -> None:
        match event:
            case ExecutionStarted():
                self._relay.began()
                self._begin()
            case NodeOutput(graph_node=graph_node, output=output):
                self._collecting.hint(graph_node, output)
            case _:
                self._relay.feed(event)

    def _begin(self) -> None:
        """ComfyUI executes it: the log should say so. Written beside the execution, which does not wait for it."""
        if self._starting is None:
            self._begun.set()
            self._starting = asyncio.create_task(self._write_start())

    async def _write_start(self) -> None:
        if self._record.state is not State.ASSIGNED:
            return
        record = machine.apply(self._record, events.Started(), time.time())
        try:
            self._stored = await self._log.insist(record, self._stored.sequence)
        except StaleRecordError:
            await self.reconsider()

    async def _judge(self, outcome: Outcome) -> events.Event:
        match outcome:
            case Succeeded() if outcome.node_errors and not self._record.definition.allow_partial_outputs:
                return verdict.of_partial_outputs(outcome)
            case Succeeded():
                return events.Succeeded(await self._collect(outcome))
            case Failed():
                return verdict.of_failure(outcome)
            case Interrupted():
                limit = self._record.definition.execution_timeout if self._timed_out else None
                return verdict.of_interrupt(started=self.started, giving_back=self._giving_back, timed_out=limit)
            case Lost():
                # A graph may take ComfyUI down before a word of its beginning gets through.
                first = self._workplace.line[:1] == [self._prompt_id]
                return verdict.of_loss(outcome, started=self.started or first)

    async def _collect(self, outcome: Succeeded) -> tuple[Artifact, ...]:
        self._relay.storing()
        while True:
            try:
                return await self._collecting.finish(outcome.outputs)
            except StoreUnavailableError as error:
                logger.info("can't store outputs yet: %s", error, extra=self._fields("storing_waits"))
                await asyncio.sleep(_RETRY_WAIT)

    async def _commit(self, event: events.Event) -> None:
        """Write the end to the log. Refused where the attempt is not ours any more; then nothing is lost by it."""
        if isinstance(event, events.Succeeded):
            self._begin()
        if self._starting is not None:
            await self._starting
        try:
            if not self._unwanted:
                await self._append(event)
        except StaleRecordError:
            self._unwanted = True
        if self._unwanted:
            await self._commit_cancelled()

    async def _finish_cancelling(self) -> None:
        """An earlier life of this agent was asked to stop it."""
        await self.interrupt()
        await self._commit_cancelled()

    async def _commit_cancelled(self) -> None:
        """What the log says now decides: a task that is being cancelled has been; any other has gone on without us."""
        last = await self._read()
        if last is None or last.record.attempt != self.number or last.record.state is not State.CANCELLING:
            logger.info("an attempt is not ours any more", extra=self._fields("attempt_stale"))
            return
        self._stored = last
        try:
            await self._append(events.Cancelled())
        except StaleRecordError:
            logger.info("somebody else ended the task", extra=self._fields("attempt_stale"))

    async def _append(self, event: events.Event) -> None:
        record = machine.apply(self._record, event, time.time())
        self._stored = await self._log.insist(record, self._stored.sequence)
        logger.info("task %s is %s", self._stored.key.task_id, record.state, extra=self._fields("attempt_ended"))

    async def _read(self) -> Stored | None:
        while True:
            try:
                return await self._log.get(self._stored.key)
            except BusUnavailableError:
                await asyncio.sleep(_RETRY_WAIT)

    def _fields(self, action: str) -> dict[str, object]:
        key = self._stored.key
        return {"action": action, "tenant": key.tenant, "task": key.task_id, "attempt": self.number}
