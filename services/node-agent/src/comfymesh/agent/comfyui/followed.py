"""A prompt on its way, with all that is known about it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfymesh.agent.comfyui.errors import REASON_REFUSED, ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.events import ExecutionStarted
from comfymesh.agent.comfyui.outcome import Interrupted, Lost, Outcome
from comfymesh.agent.comfyui.pulse import Sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from comfymesh.agent.comfyui.events import Event
    from comfymesh.agent.comfyui.pulse import Pulse
    from comfymesh.agent.comfyui.timings import SessionTimings

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Followed:
    """A prompt that is followed. Times are in seconds of the event loop.

    Attributes:
        prompt_id: The prompt.
        observer: Gets its events.
        pulse: When it was heard of last.
        client_id: Whose socket gets its events; None for one that an earlier life submitted.
        node_errors: What the server said about outputs that it left out.
        doubt: Why it is not known whether the server has it.
        stopping: Since when it is to be stopped; None if it is not.
        lost: What it comes to when its stop takes effect, instead of an interruption.
        abandoned: Whether it is not waited for any more.
        began: Whether it is being executed.
        told_end: Whether the socket has told its end.
        misses: How often in a row the server did not know it.
        trouble_since: Since when the server gives no useful answer.
        wake: Set when there is news.
    """

    prompt_id: str
    observer: Callable[[Event], None]
    pulse: Pulse
    client_id: str | None = None
    node_errors: Mapping[str, Any] = field(default_factory=dict)
    doubt: ComfyUnreachable | ComfyError | None = None
    stopping: float | None = None
    lost: Lost | None = None
    abandoned: bool = False
    began: bool = False
    told_end: bool = False
    misses: int = 0
    trouble_since: float | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def give_up(self, lost: Lost, *, now: float, at_once: bool) -> None:
        """It is to end as lost: when its stop takes effect, or at once."""
        self.lost = self.lost or lost
        self.stopping = now if self.stopping is None else self.stopping
        self.abandoned = self.abandoned or at_once
        self.wake.set()

    def as_ended(self, outcome: Outcome) -> Outcome:
        """What an end comes to."""
        return self.lost if self.lost is not None and isinstance(outcome, Interrupted) else outcome

    def sign(self, now: float, allowed: float) -> Sign:
        """How it looks now."""
        stopping = None if self.stopping is None else now - self.stopping
        begun = self.began and not self.told_end
        return Sign(self.prompt_id, begun, now - self.pulse.heard, allowed, stopping)

    def tell(self, event: Event) -> None:
        """Something has happened to it."""
        self.began = self.began or isinstance(event, ExecutionStarted)
        try:
            self.observer(event)
        except Exception:
            # The observer is someone else's code; its fault must not stop the events of all other prompts.
            fields = {"action": "comfyui_observer_failed", "prompt_id": self.prompt_id}
            _log.exception("The observer of a prompt failed.", extra=fields)

    def in_trouble(self, error: ComfyUnreachable | ComfyError, now: float, timings: SessionTimings) -> Lost | None:
        """The server has given no useful answer. What it comes to, where that has lasted for too long."""
        if self.trouble_since is None:
            self.trouble_since = now
            fields = {"action": "comfyui_trouble", "prompt_id": self.prompt_id}
            _log.warning("A prompt cannot be looked at: %s", error, extra=fields)
        refused = isinstance(error, ComfyUnreachable) and error.reason == REASON_REFUSED
        limit = timings.refused if refused else timings.unanswered
        if now - self.trouble_since < limit:
            return None
        return Lost(f"ComfyUI has given no useful answer for {limit:g} s: {error}")

    def vanished(self) -> Outcome:
        """What it comes to that the server does not know it.

        Raises:
            ComfyError: The server had refused it.
        """
        if self.stopping is not None:
            return Interrupted()
        if isinstance(self.doubt, ComfyError):
            raise self.doubt
        if self.doubt is not None:
            return Lost(f"{self.doubt} The prompt is not known there.")
        return Lost("the prompt is neither in ComfyUI's queue nor in its history: restarted, cleared or deleted")
