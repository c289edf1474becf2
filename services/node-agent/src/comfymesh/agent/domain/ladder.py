"""The health ladder: what is done for an instance that is not well, from what is seen of it to the next step.

Each rung is tried before the next, and each needs the one before it to have had no effect: wait, ask ComfyUI, stop the
prompt, free memory, start the instance again. Setting an instance aside after too many of these is decided in `lives`.
docs/failures.md lists what can go wrong, and the rungs that meet it.

No rung is climbed by a moment in which nothing could have been seen: while the agent itself stood still, or while the
whole server did, as it does in a native call that holds its interpreter (ComfyUI protocol notes, section 13.6).
"""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.pulse import Sign
from comfymesh.tasks.failures import FailureClass

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the ladder is. Times are in seconds.

    Attributes:
        look: Between two looks at it.
        unanswered: How long the server may answer nothing at all.
        grace: How long a step is given to have an effect.
        idle: How long prompts may wait while none is executed.
        stranger: How long a prompt may be there that nobody follows; None: for ever, it may be somebody else's.
        memory_bytes: What the instance may hold of the host's memory; None: as much as it likes.
        prompts: After so many prompts it is started afresh; None: never.
        out_of_memory: So many prompts in a row that ran out of memory, and it is started afresh.
    """

    look: float = 2.0
    unanswered: float = 60.0
    grace: float = 30.0
    idle: float = 30.0
    stranger: float | None = None
    memory_bytes: int | None = None
    prompts: int | None = None
    out_of_memory: int = 3


@dataclass(frozen=True, slots=True)
class Queue:
    """The prompts in ComfyUI's queue, whoever submitted them."""

    executing: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of an instance at one moment.

    Attributes:
        late: By how many seconds the agent itself was late: it, or the host, stood still.
        unanswered: For how many seconds the server has answered nothing; 0 if it answers.
        refused: Whether nothing listens at its port.
        signs: The prompts that are followed.
        queue: Its queue; None if that was not looked at now.
        memory_bytes: What it holds of the host's memory; None if that was not looked at now, or nobody knows.
        ended: How many prompts have ended there in this life.
    """

    late: float = 0.0
    unanswered: float = 0.0
    refused: bool = False
    signs: tuple[Sign, ...] = ()
    queue: Queue | None = None
    memory_bytes: int | None = None
    ended: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask ComfyUI where a prompt is, and tell `told`."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a prompt; if that works, it has stalled, and `reason` says how that showed."""

    prompt_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evict:
    """Stop a prompt that nobody follows."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Free:
    """Have ComfyUI drop models and cached results."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Take nothing new, let end what is there, then start the instance afresh."""

    reason: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the instance again, now. What it was executing has failed in this way."""

    failure: FailureClass
    reason: str


Step = Wait | Ask | Stop | Evict | Free | Retire | Restart
WAIT = Wait()
_LATE = 1.0


class Ladder:
    """One life of an instance.

    Args:
        limits: How patient it is. May be replaced.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._blind = float("-inf")
        self._insisting: float | None = None
        self._idle: float | None = None
        self._full: float | None = None
        self._out_of_memory = 0
        self._strangers: dict[str, float] = {}
        self._evicted: dict[str, float] = {}

    def look(self, seen: Seen, now: float) -> Step:
        """What follows from what is seen now, in seconds of a monotonic clock."""
        if seen.late > _LATE or seen.unanswered:
            self._blind = now
        if seen.refused:
            return Restart(FailureClass.INSTANCE_LOST, "nothing listens at its port")
        if seen.unanswered:
            return self._silent(seen.unanswered)
        rungs = (self._stuck, self._idling, self._strange, self._growing, self._worn)
        return next((step for rung in rungs if (step := rung(seen, now)) is not None), WAIT)

    def told(self, sign: Sign, standing: Standing) -> Step:
        """What ComfyUI says of a prompt that was silent for too long."""
        if standing is not Standing.RUNNING:
            return WAIT  # Whoever follows it finds out the same.
        return Stop(sign.prompt_id, f"it was silent for {sign.silence:.0f} s, {sign.allowed:.0f} s are usual at most")

    def failed(self, failure: FailureClass) -> Step:
        """An attempt has failed there."""
        if failure is FailureClass.DEVICE_FAULT:
            # Every later prompt would fail likewise (ComfyUI protocol notes, section 11).
            return Restart(failure, "its GPU has failed for this process")
        if failure is not FailureClass.OUT_OF_MEMORY:
            return WAIT
        self._out_of_memory += 1
        if self._out_of_memory < self.limits.out_of_memory:
            return Free("a prompt ran out of memory")
        return Retire(f"{self._out_of_memory} prompts in a row ran out of memory")

    def succeeded(self) -> None:
        """An attempt has succeeded there."""
        self._out_of_memory = 0

    def _since(self, moment: float, now: float) -> float:
        """Seconds from a moment until now in which something could have been seen."""
        return now - max(moment, self._blind)

    def _silent(self, unanswered: float) -> Step:
        if unanswered < self.limits.unanswered:
            return WAIT
        return Restart(FailureClass.INSTANCE_LOST, f"it has answered nothing for {unanswered:.0f} s")

    def _stuck(self, seen: Seen, now: float) -> Step | None:
        for sign in (*seen.signs, *self._signs_of_evicted(seen.queue, now)):
            if not sign.begun:
                continue
            if sign.stopping is not None:
                if self._since(now - sign.stopping, now) > self.limits.grace:
                    return self._insist(sign, now)
            elif self._since(now - sign.silence, now) > sign.allowed:
                return Ask(sign.prompt_id)
        if seen.queue is not None or not self._evicted:
            self._insisting = None
        return None

    def _insist(self, sign: Sign, now: float) -> Step:
        if self._insisting is None:
            self._insisting = now
            return Free("a prompt does not stop")
        if self._since(self._insisting, now) <= self.limits.grace:
            return WAIT
        reason = f"a prompt was asked to stop {sign.stopping:.0f} s ago and is still executed"
        return Restart(FailureClass.STALLED, reason)

    def _idling(self, seen: Seen, now: float) -> Step | None:
        if seen.queue is None:
            return None
        if seen.queue.executing or not seen.queue.waiting:
            self._idle = None
            return None
        self._idle = now if self._idle is None else self._idle
        if self._since(self._idle, now) <= self.limits.idle:
            return None
        return Restart(FailureClass.STALLED, f"prompts wait, and it has executed none for {self.limits.idle:.0f} s")

    def _strange(self, seen: Seen, now: float) -> Step | None:
        if seen.queue is None or self.limits.stranger is None:
            return None
        there = seen.queue.executing | seen.queue.waiting
        strange = there - {sign.prompt_id for sign in seen.signs}
        self._strangers = {prompt: self._strangers.get(prompt, now) for prompt in sorted(strange)}
        self._evicted = {prompt: since for prompt, since in self._evicted.items() if prompt in strange}
        for prompt, since in self._strangers.items():
            if prompt not in self._evicted and self._since(since, now) > self.limits.stranger:
                self._evicted[prompt] = now
                return Evict(prompt)
        return None

    def _signs_of_evicted(self, queue: Queue | None, now: float) -> list[Sign]:
        executing = frozenset() if queue is None else queue.executing
        return [
            Sign(prompt, begun=True, silence=0.0, allowed=float("inf"), stopping=now - since)
            for prompt, since in self._evicted.items()
            if prompt in executing
        ]

    def _growing(self, seen: Seen, now: float) -> Step | None:
        held, limit = seen.memory_bytes, self.limits.memory_bytes
        if held is None:
            return None
        if limit is None or held <= limit:
            self._full = None
            return None
        reason = f"it holds {held // _MEBIBYTE} MiB of memory, more than {limit // _MEBIBYTE}"
        if self._full is None:
            self._full = now
            return Free(reason)
        return Retire(reason) if self._since(self._full, now) > self.limits.grace else None

    def _worn(self, seen: Seen, _: float) -> Step | None:
        if self.limits.prompts is None or seen.ended < self.limits.prompts:
            return None
        return Retire(f"it has executed {seen.ended} prompts")
