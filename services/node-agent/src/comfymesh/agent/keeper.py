"""Keeps one instance well while it serves: looks at it, and does what the ladder says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from comfymesh.agent.comfyui.errors import REASON_REFUSED, ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.outcome import Lost, Noticed
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.domain.folders import hide
from comfymesh.agent.domain.ladder import (
    WAIT,
    Ask,
    Evict,
    Free,
    Ladder,
    Limits,
    Queue,
    Restart,
    Retire,
    Seen,
    Step,
    Stop,
    Wait,
)
from comfymesh.agent.domain.lives import Cause
from comfymesh.agent.runtimes.contract import Absent, Exited, Runtime, RuntimeFailed
from comfymesh.agent.workplace import Workplace
from comfymesh.tasks.events import AttemptFailed, Event, Succeeded
from comfymesh.tasks.failures import FailureClass

logger = logging.getLogger(__name__)

_SOON_SECONDS = 0.25
_PROBE_SECONDS = 5.0
_LOOKS_TO_STOCK = 5
_TAIL_LINES = 5
_TAIL_CHARACTERS = 500


class InstanceDownError(Exception):
    """The instance stopped serving, or is to stop; the message says how that showed.

    Args:
        message: How it showed.
        cause: What kind of end it is.
        lost: It has to be stopped; what is executed there comes to this.
    """

    def __init__(self, message: str, cause: Cause = Cause.UNAVAILABLE, lost: Lost | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.lost = lost


class Keeper:
    """Keeps one life of an instance.

    Args:
        name: The instance.
        runtime: Owns it.
        workplace: What attempts see of it.
        limits: How patient the ladder is.
        retiring: Told why when it takes nothing new and is started afresh once what it holds has ended.

    Attributes:
        memory_bytes: What it holds of the host's memory, as it was seen last; None if that is not known.
    """

    def __init__(
        self, name: str, runtime: Runtime, workplace: Workplace, limits: Limits, retiring: Callable[[str], None]
    ) -> None:
        self._name = name
        self._runtime = runtime
        self._workplace = workplace
        self._retiring = retiring
        self._retires = ""
        self._ladder = Ladder(limits)
        self._look_seconds = limits.look
        self._due: list[Step] = []
        self._wake = asyncio.Event()
        self._answered = time.monotonic()
        self._stocked = float("-inf")
        self._idles = False
        self.memory_bytes: int | None = None
        workplace.told_end = self._ended

    def limit(self, limits: Limits) -> None:
        """Be as patient as this from now on."""
        self._ladder.limits = limits

    async def run(self, each_round: Callable[[], Awaitable[None]]) -> NoReturn:
        """Look after it for as long as it serves: now and then, and at once when its events cease or something fails.

        Args:
            each_round: Done after every look at which it was well.

        Raises:
            InstanceDownError: It does not serve any more.
        """
        while True:
            late = await self._pause()
            if self._runtime.sees_process:
                await check_process(self._name, self._runtime)
            steps, self._due = self._due, []
            seen = await self._look(late)
            # What answers is there: a connection that asks for nothing would only show up in its log.
            if seen.unanswered and not self._runtime.sees_process:
                await check_process(self._name, self._runtime)
            for step in steps or [self._ladder.look(seen, time.monotonic())]:
                await self._take(step)
            if self._retires and self._workplace.free:
                raise InstanceDownError(self._retires, Cause.RETIRED, Lost(self._retires))
            if not seen.unanswered:
                await each_round()

    async def _pause(self) -> float:
        """Wait for the next look; answers by how many seconds that took longer than it should."""
        began = time.monotonic()
        waits = {asyncio.ensure_future(self._workplace.session.lost(self._look_seconds))}
        waits.add(asyncio.ensure_future(self._woken()))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        late = max(0.0, time.monotonic() - began - self._look_seconds)
        if any(wait.result() for wait in done):
            await asyncio.sleep(_SOON_SECONDS)
        return late

    async def _woken(self) -> bool:
        await self._wake.wait()
        self._wake.clear()
        return False

    def _ended(self, end: Event) -> None:
        if isinstance(end, Succeeded):
            self._ladder.succeeded()
        if not isinstance(end, AttemptFailed):
            return
        step = self._ladder.failed(end.error.failure)
        if isinstance(step, Restart | Retire):
            self._workplace.accepting = False  # Now: what comes next would fail in the same way.
        if step != WAIT:
            self._due.append(step)
            self._wake.set()

    async def _look(self, late: float) -> Seen:
        unanswered, refused = await self._probe()
        queue, memory = await self._take_stock() if not unanswered and self._stock_is_due() else (None, None)
        session = self._workplace.session
        return Seen(late, unanswered, refused, session.signs(), queue, memory, session.ended)

    async def _probe(self) -> tuple[float, bool]:
        """For how many seconds it has not answered, and whether nothing listens any more."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                self._workplace.peaks.see(await self._workplace.session.http.system_stats())
        except (ComfyUnreachable, ComfyError, TimeoutError) as error:
            # One slow answer is no death: a native call may hold the server's interpreter for seconds.
            return time.monotonic() - self._answered, _refused(error)
        self._answered = time.monotonic()
        return 0.0, False

    def _stock_is_due(self) -> bool:
        # Between two prompts none is executed for a moment: whether that lasts is seen at the next look.
        return self._idles or time.monotonic() - self._stocked >= _LOOKS_TO_STOCK * self._look_seconds

    async def _take_stock(self) -> tuple[Queue | None, int | None]:
        """Look at what costs more to see: the queue, and what memory it holds. None for what can't be seen now."""
        self._stocked, self._idles, queue = time.monotonic(), False, None
        try:
            ids = await self._workplace.session.http.queue()
            queue = Queue(frozenset(ids.running), frozenset(ids.pending))
            self._idles = bool(queue.waiting) and not queue.executing
            self.memory_bytes = await self._runtime.memory_bytes()
        except (ComfyUnreachable, ComfyError, RuntimeFailed) as error:
            logger.debug("can't take stock of instance %s: %s", self._name, error)
            return queue, None
        return queue, self.memory_bytes

    async def _take(self, step: Step) -> None:
        try:
            await self._do(step)
        except (ComfyUnreachable, ComfyError) as error:
            logger.info("a step for instance %s failed: %s", self._name, error, extra=self._fields(step))

    async def _do(self, step: Step) -> None:
        session = self._workplace.session
        match step:
            case Wait():
                return
            case Ask(prompt_id):
                standing = await session.look(prompt_id)
                sign = next((sign for sign in session.signs() if sign.prompt_id == prompt_id), None)
                if sign is not None:
                    await self._do(self._ladder.told(sign, standing))
            case Stop(prompt_id, reason):
                self._say(step, reason)
                await session.give_up(prompt_id, Lost(reason, FailureClass.STALLED, Noticed.WATCHDOG))
            case Evict(prompt_id):
                self._say(step, "nobody follows a prompt there")
                await session.cancel(prompt_id)
            case Free(reason):
                self._say(step, reason)
                await session.http.free(unload_models=True, free_memory=True)
            case Retire(reason):
                self._retire(step, reason)
            case Restart(failure, reason):
                self._say(step, reason)
                self._workplace.accepting = False
                raise InstanceDownError(reason, Cause.FAULTY, Lost(reason, failure, _noticed(failure)))

    def _retire(self, step: Step, reason: str) -> None:
        if not self._retires:
            self._say(step, reason)
            self._retires = reason
            self._workplace.retire()
            self._retiring(reason)

    def _say(self, step: Step, reason: str) -> None:
        logger.warning("instance %s: %s", self._name, reason, extra=self._fields(step))

    def _fields(self, step: Step) -> dict[str, object]:
        return {"action": f"instance_{type(step).__name__.lower()}", "instance": self._name}


async def check_process(name: str, runtime: Runtime) -> None:
    """Nothing, if the instance's process or container runs, as far as can be found out.

    Raises:
        InstanceDownError: It does not.
    """
    try:
        status = await runtime.poll()
    except RuntimeFailed as error:
        # That says nothing about the server. Whether it answers is asked as well.
        logger.info("can't find out whether instance %s runs: %s", name, error)
        return
    match status:
        case Exited(code, reason):
            tail = clean(hide(await runtime.log_tail(_TAIL_LINES))[-_TAIL_CHARACTERS:], _TAIL_CHARACTERS)
            raise InstanceDownError(f"it exited with {code} ({reason}); its last words: {tail!r}", Cause.CRASHED)
        case Absent():
            raise InstanceDownError("it is gone")
        case _:
            return


def _noticed(failure: FailureClass) -> Noticed:
    """What stalls is seen by its silence; everything else for which an instance is started again, by its answers."""
    return Noticed.WATCHDOG if failure is FailureClass.STALLED else Noticed.PROBE


def _refused(error: Exception) -> bool:
    return isinstance(error, ComfyUnreachable) and error.reason == REASON_REFUSED
