"""Runs one attempt on one instance, from its claim to its end in the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from comfymesh.agent import leftovers
from comfymesh.agent.attempt_trace import AttemptTrace
from comfymesh.agent.claim import Claim
from comfymesh.agent.collecting import OutputRefusedError, OutputsLostError
from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable, GraphRefused
from comfymesh.agent.comfyui.events import Event as ComfyEvent
from comfymesh.agent.comfyui.events import ExecutionStarted, ExecutionSucceeded, NodeOutput
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Outcome, Succeeded
from comfymesh.agent.comfyui.stopwatch import Stopwatch
from comfymesh.agent.domain import verdict
from comfymesh.agent.domain.peak import Peak
from comfymesh.agent.domain.stops import GivenBack, Stop, TimedOut
from comfymesh.agent.host_clock import by_the_wall
from comfymesh.agent.interruption import Interruption
from comfymesh.agent.relay import Relay
from comfymesh.agent.url_inputs import InputError
from comfymesh.agent.workplace import Workplace
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.bus.port import Bus, BusUnavailableError
from comfymesh.bus.tasklog import SpecMissingError
from comfymesh.runtime import logcontext, redaction
from comfymesh.runtime.background import stop
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.runtime.patience import UnwantedError, Wait
from comfymesh.tasks import events
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Artifact, State, TaskRecord, Timing, prompt_id
from comfymesh.telemetry import tracing

logger = logging.getLogger(__name__)


class Attempt:
    """One attempt, until its end is in the log or the log says that it is somebody else's.

    Args:
        bus: The bus.
        claim: This node's claim to it.
        workplace: The instance.
        previews: Whether ComfyUI should make previews.
        passed: Answers how long ago a moment was that a record tells.
    """

    def __init__(
        self,
        bus: Bus,
        claim: Claim,
        workplace: Workplace,
        *,
        previews: bool,
        passed: Callable[[float], float] = by_the_wall,
    ) -> None:
        self._passed = passed
        self._claim = claim
        self._workplace = workplace
        self._previews = previews
        self._prompt_id = prompt_id(claim.key, claim.number, claim.record.node, claim.record.instance)
        # It may have been submitted by an earlier life of the agent.
        self._may_be_known = workplace.leftovers.take(self._prompt_id) or not claim.fresh
        self._granted = asyncio.Event()
        self._relay = Relay(bus, claim.key, claim.number)
        self._stopwatch = Stopwatch(claim.record.definition.requirements.models)
        self._trace = AttemptTrace(claim, self._prompt_id)
        self._collecting = workplace.collecting(claim.key.tenant, self._relay.stored)
        self._peak = Peak()
        self._stop: Stop | None = None
        self._unwanted = False
        self._interruption = Interruption(claim, workplace.session, self._prompt_id)
        self._running = False
        self._limit: asyncio.TimerHandle | None = None
        # Servers of callers, and ComfyUI, may take their time.
        self._staging = Wait(lambda: not self._stopped)
        self._storing = Wait(lambda: not self._unwanted)

    @property
    def started(self) -> bool:
        """Whether ComfyUI has begun to execute it."""
        return self._claim.began is not None

    @property
    def _record(self) -> TaskRecord:
        return self._claim.record

    async def run(self) -> None:
        """Claim it, execute it, store what it made, and write its end to the log.

        ComfyUI begins while the log is asked, or after that where an earlier life of the agent may have had it.
        Nothing that comes of it leaves this object before the log has agreed.
        """
        with self._trace.running():
            self._running = True
            # In this order: the end waits longer for ComfyUI than for the claim, whose news wakes half the mesh.
            # So a graph that is at hand is on its way before the claim is.
            executing = asyncio.create_task(self._execute())
            claiming = asyncio.create_task(self._take())
            try:
                taken = await claiming
                await (self._run_claimed(executing) if taken else self._take_back(executing))
                reached(FaultPoint.END_STORED)
                # Not before its end is in the log: the next agent would look for it there.
                self._workplace.forget(self._prompt_id, self._claim.key, self._claim.number)
            finally:
                self._running = False
                await stop(executing, claiming, self._interruption.task)
                await self._relay.close()
                self._workplace.staging.release(self._claim.key, self._claim.number)
                await self._collecting.close()

    def show_previews(self) -> None:
        """Somebody watches."""
        self._relay.wanted()

    async def reconsider(self) -> None:
        """Somebody says that the attempt is not wanted. Only the log is believed."""
        if self._claim.taken and not await self._claim.is_wanted():
            self._unwanted = True
            self._begin_to_interrupt()
            self._storing.give_up()

    def give_back(self, reason: str) -> None:
        """Let somebody else run it."""
        self._stop = self._stop or GivenBack(reason)
        self._begin_to_interrupt()

    def give_way(self, reason: str, *, running: bool) -> None:
        """Let a task of higher priority have its place; what has begun goes on, unless `running` may be stopped too."""
        if running or not self.started:
            self._stop = self._stop or GivenBack(reason, counts=False)
            self._begin_to_interrupt()

    async def _take(self) -> bool:
        with tracing.part("claim"):
            taken = await self._claim.take()
        if taken:
            self._granted.set()
        return taken

    async def _run_claimed(self, executing: asyncio.Task[Outcome]) -> None:
        if self._record.state is State.CANCELLING:
            await self._take_back(executing)
            await self._claim.concede()
            return
        self._relay.open()
        end = self._timed(await self._workplace.with_evidence(await self._end(executing)))
        self._trace.ended(end)
        with tracing.part("commit"):
            await (self._claim.concede(self._timing()) if self._unwanted else self._claim.end(end))

    async def _take_back(self, executing: asyncio.Task[Outcome]) -> None:
        """Stop whatever ComfyUI has of it; what has come of it meanwhile is nobody's."""
        self._unwanted = True
        submitted = self._prompt_id in self._workplace.line
        if not submitted:
            executing.cancel()
        if submitted or self._may_be_known:
            await self._interruption.run()
        await asyncio.gather(executing, return_exceptions=True)
        self._workplace.line.lose(self._prompt_id)  # Nobody judges it.

    def _timed(self, end: events.Event) -> events.Event:
        """An end, with where the time went. What the instance holds in memory by now is noted as well."""
        timing = self._timing()
        if timing is None or not isinstance(end, events.Succeeded | events.AttemptFailed):
            return end
        self._workplace.residency.ran(self._stopwatch.used(), timing.loaded)
        if isinstance(end, events.AttemptFailed) and end.error.failure is FailureClass.OUT_OF_MEMORY:
            self._workplace.residency.clear()
        return replace(end, timing=timing)

    def _timing(self) -> Timing | None:
        """Where the time went, once it has stopped; None where it did not execute or nobody saw."""
        timing = self._stopwatch.timing()
        if timing is None:
            return None
        return replace(timing, gpu_class=self._workplace.residency.gpu_class, peak_vram_bytes=self._peak.bytes)

    async def _end(self, executing: asyncio.Task[Outcome]) -> events.Event:
        """Wait for what ComfyUI makes of it; answers the event that ends it."""
        try:
            return await self._judge(await executing)
        except UnwantedError:
            return verdict.of_interrupt(self._stop, started=self.started)
        except GraphRefused as error:
            self._workplace.staging.forget()
            return verdict.of_refusal(error)
        except ComfyUnreachable as error:
            return verdict.of_loss(Lost(str(error)), started=self.started)
        except ComfyError as error:
            return verdict.of_error(error)
        except (SpecMissingError, BlobMissingError) as error:
            return verdict.failure(FailureClass.INTERNAL, str(error))
        except OutputsLostError as error:
            await self._forget_results()
            return verdict.failure(FailureClass.OUTPUT_LOST, str(error))
        except OutputRefusedError as error:
            return verdict.of_refused_output(str(error), error.problem, error.graph_node)
        except InputError as error:
            return verdict.failure(error.failure, str(error), error.metadata)

    async def _forget_results(self) -> None:
        """Have ComfyUI forget what it keeps of earlier prompts: it would name the same files again, and make none.

        Before the end is told: whoever tries it once more may come at once. Its models go as well, ComfyUI has it no
        other way.
        """
        with contextlib.suppress(ComfyUnreachable, ComfyError):
            await self._workplace.session.http.free(unload_models=True, free_memory=True)
            self._workplace.residency.clear()

    async def _execute(self) -> Outcome:
        session = self._workplace.session
        if self._may_be_known and await session.look(self._prompt_id) is not Standing.UNKNOWN:
            logger.info("adopted a prompt", extra=self._claim.fields("attempt_adopted"))
            return await self._in_line(session.resume(self._prompt_id, self._observe))
        if not self._claim.fresh:
            await self._granted.wait()  # It may have ended, and ComfyUI have been told to forget it.
        if self.started:
            return Lost("the instance no longer knows the prompt that was submitted to it")
        return await self._in_line(self._submit(await self._stage()))

    async def _submit(self, graph: dict[str, Any]) -> Outcome:
        # From here on the session knows the prompt, and whoever stops it reaches it there.
        if self._stopped:
            raise UnwantedError
        self._relay.executing(graph)
        self._stopwatch.submit(graph)
        self._trace.submit(graph)
        logcontext.conceal(partial(redaction.words, graph))
        extra = leftovers.mark(self._claim.key, self._claim.number)
        if self._previews:
            extra["preview_method"] = "auto"
        return await self._workplace.session.execute(self._prompt_id, graph, extra_data=extra, observer=self._observe)

    async def _in_line(self, execution: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Follow a prompt in its place in the line. One that is lost keeps it until it is judged."""
        outcome: Outcome | None = None
        self._workplace.line.enter(self._prompt_id)
        try:
            outcome = await execution
        finally:
            if self._limit is not None:
                self._limit.cancel()
            if not isinstance(outcome, Lost):
                self._workplace.line.leave(self._prompt_id)
        return outcome

    async def _stage(self) -> dict[str, Any]:
        graph = partial(self._workplace.staging.graph, self._record)
        with tracing.part("stage"):
            return await self._staging.patiently(
                graph, BusUnavailableError, StoreUnavailableError, what="stage an attempt"
            )

    @property
    def _stopped(self) -> bool:
        """Whether it is not to go on."""
        return self._unwanted or self._stop is not None or self._record.state is State.CANCELLING

    def _limit_time(self) -> None:
        """Once the execution timeout has passed the prompt is interrupted, and still followed to its end.

        From here on the loop's clock counts, which nobody sets. Only what an earlier life of this agent saw begin has
        to be counted by what the log says, and never has more than the whole time left.
        """
        if self._limit is None:
            limit, told = self._record.definition.execution_timeout, self._record.start_time
            # Asked of what begins now too: that its clock was set just before must be known to later lives.
            passed = self._passed(time.time() if told is None else told)
            left = limit if told is None else limit - passed
            self._limit = asyncio.get_running_loop().call_later(min(max(left, 0.0), limit), self._time_out, limit)

    def _time_out(self, limit: float) -> None:
        self._stop = self._stop or TimedOut(limit)
        self._begin_to_interrupt()

    def _begin_to_interrupt(self) -> None:
        """Stop it in ComfyUI, for as long as it runs here: after that the session may be closed."""
        self._staging.give_up()
        if self._running:
            self._interruption.begin()

    def _observe(self, event: ComfyEvent) -> None:
        self._stopwatch.feed(event, time.monotonic())
        self._trace.feed(event)
        match event:
            case ExecutionStarted():
                self._relay.began()
                self._workplace.residency.begin(self._stopwatch.used())
                self._peak = self._workplace.peaks.begin()
                self._claim.begin()
                self._limit_time()
            case ExecutionSucceeded():
                self._claim.executed()
                self._relay.feed(event)
            case NodeOutput(graph_node=graph_node, output=output):
                self._collecting.hint(graph_node, output)
            case _:
                self._relay.feed(event)

    async def _judge(self, outcome: Outcome) -> events.Event:
        self._stopwatch.stop(time.monotonic())
        match outcome:
            case Succeeded() if outcome.node_errors and not self._record.definition.allow_partial_outputs:
                return verdict.of_partial_outputs(outcome)
            case Succeeded():
                reached(FaultPoint.PROMPT_ENDED)
                artifacts = await self._collect(outcome)
                reached(FaultPoint.OUTPUTS_STORED)
                return verdict.of_success(outcome, artifacts, self._claim.began)
            case Failed():
                return verdict.of_failure(outcome)
            case Interrupted():
                return verdict.of_interrupt(self._stop, started=self.started)
            case Lost() if isinstance(self._stop, TimedOut):
                return verdict.of_interrupt(self._stop, started=True)  # It took the instance down to stop it.
            case Lost():
                # A graph may take ComfyUI down before a word of its beginning gets through.
                first = self._workplace.line.lose(self._prompt_id)
                return verdict.of_loss(outcome, started=self.started or first)

    async def _collect(self, outcome: Succeeded) -> tuple[Artifact, ...]:
        self._relay.storing()
        finish = partial(self._collecting.finish, outcome.outputs)
        with tracing.part("upload"):
            return await self._storing.patiently(finish, StoreUnavailableError, what="store outputs")
