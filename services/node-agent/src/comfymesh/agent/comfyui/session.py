"""Runs prompts on one ComfyUI server and follows each to its end.

The socket is a hint and history is the truth (ComfyUI protocol notes, section 2): a prompt is over when the socket
says `executing` without a node, or when a slow poll finds it ended; then its history entry tells how. What is lost
on the way (an answer, an event, a connection, the server) ends in an outcome all the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from comfymesh.agent.comfyui.control import PromptControl, Standing
from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable, GraphRefused
from comfymesh.agent.comfyui.events import Event, ExecutionStarted, PromptEnded
from comfymesh.agent.comfyui.followed import Followed
from comfymesh.agent.comfyui.hearing import Hearing
from comfymesh.agent.comfyui.http import DEFAULT_TIMEOUTS, ComfyHttp, Timeouts
from comfymesh.agent.comfyui.outcome import Failed, Interrupted, Lost, Noticed, Outcome, Succeeded, read_history
from comfymesh.agent.comfyui.pulse import Pace, Pulse, Sign
from comfymesh.agent.comfyui.routing import EventRouter
from comfymesh.agent.comfyui.socket import DEFAULT_SOCKET_TIMINGS, EventSocket, SocketTimings
from comfymesh.agent.comfyui.suspicion import Suspicion
from comfymesh.agent.comfyui.timings import DEFAULT_TIMINGS, SessionTimings
from comfymesh.runtime.faultpoints import FaultPoint, reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

_log = logging.getLogger(__name__)


class ComfySession:
    """One ComfyUI server: an async context manager around its HTTP routes and its event socket.

    Several prompts may be on their way at once, so that the server's own queue is never empty.

    Args:
        base_url: As `http://127.0.0.1:8188`.
        timeouts: How long HTTP calls may take.
        timings: How patiently prompts are followed.
        socket_timings: How patiently the socket is kept.
        pace: What is known of how long graph nodes are silent; learns more.

    Attributes:
        http: The routes, for everything that is not the following of a prompt.
        ended: How many prompts have ended, one way or another.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        timings: SessionTimings = DEFAULT_TIMINGS,
        socket_timings: SocketTimings = DEFAULT_SOCKET_TIMINGS,
        pace: Pace | None = None,
    ) -> None:
        self.http = ComfyHttp(base_url, timeouts)
        url = "ws" + self.http.base_url.removeprefix("http") + "/ws"
        self._socket = EventSocket(url, self._on_event, self._on_state, timings=socket_timings)
        self._timings = timings
        self._prompts: dict[str, Followed] = {}
        self._router = EventRouter(self._prompts)
        # Asked for with each event, and Python asks the system each time whether it is still the same process.
        self._loop = asyncio.get_running_loop()
        self._hearing = Hearing()
        self._control = PromptControl(self.http, stop_waits=timings.stop, history_waits=timings.history)
        self._suspicion = Suspicion(self.http, self._socket, timings)
        self._pace = pace or Pace()
        self.ended = 0

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        self._socket.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._suspicion.close()
            await self._socket.close()
        finally:
            await self.http.__aexit__(kind, error, trace)

    @property
    def connected(self) -> bool:
        """Whether events arrive."""
        return self._hearing.now

    async def wait_connected(self) -> None:
        """Wait until events arrive."""
        await self._hearing.wait()

    async def lost(self, within: float) -> bool:
        """Whether events have ceased to arrive, or do so within so many seconds."""
        return await self._hearing.lost(within)

    async def execute(
        self,
        prompt_id: str,
        graph: Mapping[str, Any],
        *,
        extra_data: Mapping[str, Any] | None = None,
        observer: Callable[[Event], None],
    ) -> Outcome:
        """Submit a graph and follow it to its end. Cancelling this coroutine does not stop the prompt; `cancel` does.

        Args:
            prompt_id: Canonical lower-case UUID, never used before on this server.
            graph: ComfyUI workflow in API format.
            extra_data: As `{"preview_method": "auto"}`.
            observer: Gets the events of this prompt, in order, from the task that reads the socket: must be quick.

        Returns:
            How it ended.

        Raises:
            GraphRefused: The graph is invalid; nothing was queued.
            ComfyUnreachable: Nothing was sent.
            ComfyError: The server answered with another error and does not know the prompt.
            ValueError: The prompt is being followed already.
        """
        with self._follow(prompt_id, observer) as prompt:
            prompt.pulse.classes = {node_id: str(node.get("class_type")) for node_id, node in graph.items()}
            prompt.client_id = await self._hearing.as_client(self.http, self._timings)
            if prompt.stopping is not None:
                return prompt.as_ended(Interrupted())
            await self._submit(prompt, graph, extra_data)
            if prompt.stopping is not None:
                prompt.wake.set()
            return await self._to_the_end(prompt)

    async def resume(self, prompt_id: str, observer: Callable[[Event], None]) -> Outcome:
        """Follow a prompt that an earlier life of this agent submitted. Its events went to another socket.

        Args:
            prompt_id: The prompt.
            observer: As in `execute`.

        Returns:
            How it ended; `Lost` if the server does not know it.

        Raises:
            ValueError: The prompt is being followed already.
        """
        with self._follow(prompt_id, observer) as prompt:
            prompt.wake.set()
            return await self._to_the_end(prompt)

    async def cancel(self, prompt_id: str) -> None:
        """Stop a prompt, whether it waits or runs. A graph node within one blocking call goes on until that returns.

        Whoever follows the prompt gets `Interrupted`, or how it ended if it was faster. While somebody follows it, the
        request is repeated until it has taken hold, even if this call fails.

        Args:
            prompt_id: The prompt; nothing happens if the server does not know it and nobody follows it.

        Raises:
            ComfyUnreachable: The server did not answer.
            ComfyError: It answered with an error.
        """
        prompt = self._prompts.get(prompt_id)
        if prompt is not None and prompt.stopping is None:
            prompt.stopping = self._now()
        try:
            await self._control.stop(prompt_id)
        finally:
            if prompt is not None:
                prompt.wake.set()

    def signs(self) -> tuple[Sign, ...]:
        """How the prompts that are followed look now."""
        now = self._now()
        return tuple(prompt.sign(now, self._allowed(prompt)) for prompt in self._prompts.values())

    async def give_up(self, prompt_id: str, lost: Lost) -> None:
        """Stop a prompt that does not go on; whoever follows it gets `lost` once that has worked.

        Args:
            prompt_id: The prompt.
            lost: What it comes to.

        Raises:
            ComfyUnreachable, ComfyError: As `cancel`.
        """
        if prompt_id in self._prompts:
            self._prompts[prompt_id].give_up(lost, now=self._now(), at_once=False)
        await self.cancel(prompt_id)

    def abandon(self, lost: Lost) -> None:
        """Wait for no prompt any more: the server has been stopped, or can't be mended.

        Args:
            lost: What they come to, those aside that were given up before.
        """
        for prompt in self._prompts.values():
            prompt.give_up(lost, now=self._now(), at_once=True)

    async def look(self, prompt_id: str) -> Standing:
        """Ask where a prompt is now.

        Args:
            prompt_id: The prompt.
        """
        return await self._control.look(prompt_id)

    @contextmanager
    def _follow(self, prompt_id: str, observer: Callable[[Event], None]) -> Iterator[Followed]:
        if prompt_id in self._prompts:
            raise ValueError(f"prompt {prompt_id} is being followed already")
        prompt = self._prompts[prompt_id] = Followed(prompt_id, observer, Pulse(self._now()))
        try:
            yield prompt
        finally:
            del self._prompts[prompt_id]
            self.ended += 1

    def _allowed(self, prompt: Followed) -> float:
        return self._pace.allowed(prompt.pulse.doing if self._hears(prompt) else None)

    def _hears(self, prompt: Followed) -> bool:
        """Whether the prompt's events reach us: those of an adopted one, or of a lost connection, never do."""
        return prompt.client_id is not None and prompt.client_id == self._hearing.client_id

    def _now(self) -> float:
        return self._loop.time()

    async def _submit(self, prompt: Followed, graph: Mapping[str, Any], extra_data: Mapping[str, Any] | None) -> None:
        client_id, before = prompt.client_id or "", time.monotonic()
        try:
            reached(FaultPoint.PROMPT_READY)
            accepted = await self.http.submit(prompt.prompt_id, graph, client_id=client_id, extra_data=extra_data)
            reached(FaultPoint.PROMPT_SENT)
        except GraphRefused:
            raise
        except (ComfyUnreachable, ComfyError) as error:
            if not _may_have_queued(error):
                raise
            # Sending it again could run it twice. The server is asked instead.
            prompt.doubt = error
            prompt.wake.set()
        else:
            prompt.node_errors = accepted.node_errors
            # The server tells every socket that its queue has changed. One that does not hear that hears nothing.
            self._suspicion.arise(before)

    async def _to_the_end(self, prompt: Followed) -> Outcome:
        while True:
            await self._wait(prompt)
            if prompt.abandoned and prompt.lost is not None:
                return prompt.lost
            outcome = await (self._told(prompt) if prompt.told_end else self._check(prompt))
            if outcome is not None:
                return prompt.as_ended(outcome)

    async def _wait(self, prompt: Followed) -> None:
        try:
            async with asyncio.timeout(self._patience(prompt)):
                await prompt.wake.wait()
        except TimeoutError:
            return
        prompt.wake.clear()

    def _patience(self, prompt: Followed) -> float:
        if prompt.stopping is not None or prompt.misses or prompt.trouble_since is not None:
            return self._timings.recheck
        return self._timings.poll if self._hears(prompt) else self._timings.poll_unheard

    async def _told(self, prompt: Followed) -> Outcome | None:
        """The socket said that it ended. If history does not know, the next check decides."""
        prompt.told_end = False
        try:
            outcome = await self._ended(prompt)
        except (ComfyUnreachable, ComfyError) as error:
            return prompt.in_trouble(error, self._now(), self._timings)
        if outcome is None:
            prompt.wake.set()
        return outcome

    async def _ended(self, prompt: Followed) -> Succeeded | Failed | Interrupted | None:
        entry = await self._control.entry(prompt.prompt_id)
        return None if entry is None else read_history(entry, prompt.node_errors)

    async def _check(self, prompt: Followed) -> Outcome | None:
        try:
            standing = await self._control.look(prompt.prompt_id)
            if prompt.stopping is not None and standing in (Standing.PENDING, Standing.RUNNING):
                await self._control.stop(prompt.prompt_id)
            outcome = await self._ended(prompt) if standing is Standing.ENDED else None
        except (ComfyUnreachable, ComfyError) as error:
            return prompt.in_trouble(error, self._now(), self._timings)
        prompt.trouble_since = None
        if outcome is not None:
            if self._hears(prompt):
                _log.info("No event told that a prompt has ended.", extra=_context("comfyui_event_lost", prompt))
                self._suspicion.arise(time.monotonic())
            return outcome if isinstance(outcome, Interrupted) else replace(outcome, noticed=Noticed.POLL)
        if standing in (Standing.PENDING, Standing.RUNNING):
            prompt.misses = 0
            if standing is Standing.RUNNING and not prompt.began:
                prompt.tell(ExecutionStarted(prompt.prompt_id))
            return None
        prompt.misses += 1
        return prompt.vanished() if prompt.misses > 1 else None

    def _on_event(self, event: Event) -> None:
        routed = self._router.route(event)
        prompt = None if routed is None else self._prompts.get(routed[0])
        if routed is None or prompt is None:
            return
        prompt.pulse.beat(event, self._now(), self._pace)
        if isinstance(event, PromptEnded):
            prompt.told_end = True
            prompt.wake.set()
        prompt.tell(routed[1])

    def _on_state(self, client_id: str | None) -> None:
        if client_id is None:
            self._hearing.ends()
        else:
            self._control.reset()
            self._router.reset()
            self._hearing.begins(client_id)
        for prompt in self._prompts.values():
            # Those without client id are not yet submitted, or adopted and looked at often anyway.
            if prompt.client_id is not None:
                prompt.wake.set()


def _may_have_queued(error: ComfyUnreachable | ComfyError) -> bool:
    return error.sent if isinstance(error, ComfyUnreachable) else error.status >= 500


def _context(action: str, prompt: Followed) -> dict[str, str]:
    return {"action": action, "prompt_id": prompt.prompt_id}
