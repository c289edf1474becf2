"""The bus of the simulation: the memory bus as the server, and a connection to it for each process, with faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from contextvars import Context
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, TypeVar

from comfymesh.bus import guards, subjects
from comfymesh.bus.port import BusUnavailableError, CaughtUp, Entry, Handler, Message, StreamState, Subscription
from comfymesh.bus.streams import Stream
from comfymesh.testkit.memory_bus import MemoryBus, check_size
from comfymesh.testkit.simulation.chance import exponential
from comfymesh.testkit.simulation.lives import Life
from comfymesh.testkit.simulation.loop import Pause

TIMEOUT = 5.0
"""Seconds that a confirmation is waited for."""
_LOOK = 0.05
_LEASE = subjects.lease("scheduler")
_ARRIVES = 0.5
"""How often an append that nobody waits for any more, as after a kill, was sent already."""
_REDELIVERED_SECONDS = 8.0
_T = TypeVar("_T")
_NO_LAGS = MappingProxyType[tuple[str, str], float]({})
_NOBODYS = Context()
"""What is on its way belongs to no life: it arrives whoever dies."""


@dataclass(slots=True)
class Roughness:
    """How often what goes wrong, as probabilities of each message; and how long a way is, in seconds.

    Attributes:
        latency: Mean of one way.
        slow: How often a way takes a hundred times as long.
        lost_confirmation: Stored, and the answer lost.
        late: Given up by the sender, and stored all the same, later.
        refused: Not taken.
        dropped: Messages to those who listen now, and work, lost on their way.
        doubled: Work and orders delivered twice.
        redelivered: Work delivered once more, seconds later.
        replicating: Mean of how long a guarded message is on its way to the copies of a cluster; 0 without a cluster.
        forsaken: Such a message comes to nothing.
    """

    latency: float = 0.001
    slow: float = 0.0
    lost_confirmation: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    dropped: float = 0.0
    doubled: float = 0.0
    redelivered: float = 0.0
    replicating: float = 0.0
    forsaken: float = 0.0

    def hindering(self) -> str:
        """In words, what of it can keep a decision from being stored soon."""
        kinds = ("slow", "lost_confirmation", "late", "refused", "replicating", "forsaken")
        return ", ".join(f"{kind} {getattr(self, kind):g}" for kind in kinds if getattr(self, kind))


class SimulatedServer(MemoryBus):
    """The server.

    Attributes:
        written: Every record of the log that was ever stored, with what its writer expected.
        leased: Every message of the schedulers' lease.
        up: Whether it can be reached.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.written: list[tuple[Message, int | None]] = []
        self.leased: list[Message] = []
        self.up = True

    def now(self) -> float:
        """The time by its clock, in seconds since the epoch."""
        return self._clock()

    def last_sequence(self, subject: str) -> int:
        """The sequence of the last message on a subject that is stored, 0 where none is."""
        kept = self._stream_of(subject)
        last = kept and kept.last(subject)
        return last.sequence if last else 0

    async def _round_trip(self) -> None:
        """The way to it and back is waited for by whoever asks."""

    def arrive(self, subject: str, data: bytes) -> None:
        """A message that somebody published has come here."""
        check_size(subject, data)
        self._take(subject, data)

    def _append(self, entry: Entry) -> int | None:
        sequence = super()._append(entry)
        if sequence is None:
            return None
        if entry.subject.startswith("task."):
            self.written.append((Message(entry.subject, entry.data, sequence, self._clock()), entry.expected))
        elif entry.subject == _LEASE:
            self.leased.append(Message(entry.subject, entry.data, sequence, self._clock()))
        return sequence


class SimulatedBus:
    """One life's connection to the server. Implements Bus, and what JetStreamBus has beside it.

    Args:
        server: The server.
        life: Whose connection it is.
        rough: What goes wrong.
        rng: Decides when.
        lags: By how many seconds a stream tells a process late, by the names of both. May change meanwhile.
    """

    def __init__(
        self,
        server: SimulatedServer,
        life: Life,
        rough: Roughness,
        rng: random.Random,
        lags: Mapping[tuple[str, str], float] = _NO_LAGS,
    ) -> None:
        self._server = server
        self._life = life
        self._rough = rough
        self._rng = rng
        self._lags = lags
        self._clear_at = 0.0
        self.cut = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    @property
    def connected(self) -> bool:
        """See Bus.connected."""
        return self._reachable

    @property
    def _reachable(self) -> bool:
        return self._server.up and not self.cut

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """See Bus.append."""
        return await guards.append(entries, self._propose, self.last)

    async def _propose(self, entries: Sequence[Entry]) -> list[int | None]:
        self._life.check()
        try:
            await self._go()
        except asyncio.CancelledError:
            if self._happens(_ARRIVES):
                begin(self._store(entries))
            raise
        if self._happens(self._rough.late):
            begin(self._store_late(entries))
            raise await self._silence()
        answer = await self._server.propose(entries)
        if self._happens(self._rough.lost_confirmation):
            raise await self._silence()
        await self._return()
        return answer

    async def publish(self, subject: str, data: bytes) -> None:
        """See Bus.publish."""
        self._life.check()
        if not self._reachable:
            raise BusUnavailableError("the simulated connection is cut")
        if self._happens(self._rough.dropped):
            return
        self._in_order(subject, data)
        if subject.startswith(("work.", "control.")) and self._happens(self._rough.doubled):
            self._in_order(subject, data)
        if subject.startswith("work.") and self._happens(self._rough.redelivered):
            loop, wait = asyncio.get_running_loop(), self._rng.uniform(0.0, _REDELIVERED_SECONDS)
            loop.call_later(wait, self._server.arrive, subject, data, context=_NOBODYS)

    async def last(self, stream: Stream, subject: str) -> Message | None:
        """See Bus.last."""
        await self._go()
        answer = await self._server.last(stream, subject)
        await self._return()
        return answer

    async def at(self, stream: Stream, sequence: int) -> Message | None:
        """See Bus.at."""
        await self._go()
        answer = await self._server.at(stream, sequence)
        await self._return()
        return answer

    async def state(self, stream: Stream) -> StreamState:
        """See Bus.state."""
        await self._go()
        answer = await self._server.state(stream)
        await self._return()
        return answer

    async def after(self, stream: Stream, subject: str, sequence: int, limit: int) -> list[Message]:
        """See Bus.after."""
        await self._go()
        answer = await self._server.after(stream, subject, sequence, limit)
        await self._return()
        return answer

    async def subjects(self, stream: Stream, subject: str) -> list[str]:
        """See Bus.subjects."""
        await self._go()
        answer = await self._server.subjects(stream, subject)
        await self._return()
        return answer

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """See Bus.subscribe."""
        self._life.check()
        way = _Way(self)

        def take(message: Message) -> None:
            if self._life.alive and self._reachable and not self._happens(self._rough.dropped):
                way.call(handler, message)

        return await self._server.subscribe(subject, take)

    async def tail(self, stream: Stream, subject: str, after: int = 0) -> AsyncGenerator[Message | CaughtUp, None]:
        """See Bus.tail."""
        opened = self._server.now()
        async with aclosing(self._server.tail(stream, subject, after)) as messages:
            async for message in messages:
                since = opened if isinstance(message, CaughtUp) else max(opened, message.time)
                await self._lag(stream, since)
                await self._arrive()
                yield message

    async def work(self, stream: Stream, subject: str, name: str) -> AsyncGenerator[Message, None]:
        """See Bus.work."""
        async with aclosing(self._server.work(stream, subject, name)) as messages:
            async for message in messages:
                if not self._life.alive or not self._happens(self._rough.dropped):
                    await self._arrive()
                    yield message

    def __getattr__(self, name: str) -> Any:
        """Whatever else the bus can do is a call to the server."""
        method = getattr(self._server, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            await self._go()
            answer = await method(*arguments, **options)
            await self._return()
            return answer

        return call

    async def _go(self) -> None:
        """The way to the server."""
        life = self._life
        life.check()
        await Pause(self._latency())
        life.check()
        if not self._reachable or self._happens(self._rough.refused):
            raise BusUnavailableError("the simulated server did not take it")

    async def _return(self) -> None:
        """The way back."""
        await Pause(self._latency())
        self._life.check()
        if not self._reachable:
            raise await self._silence()

    async def _arrive(self) -> None:
        """The way of what the server sends by itself: it waits until there is a connection."""
        await Pause(self._latency())
        while not self._reachable and self._life.alive:  # noqa: ASYNC110  # time is virtual: looking costs nothing
            await asyncio.sleep(_LOOK)
        self._life.check()

    async def _lag(self, stream: Stream, since: float) -> None:
        """Wait until a stream that lags would tell what was to be told `since`. None waits for what is before it."""
        late = since + self._lags.get((self._life.name, stream.name), 0.0) - self._server.now()
        if late > 0:
            await Pause(late)

    async def _silence(self) -> BusUnavailableError:
        await asyncio.sleep(self._rng.uniform(0.0, TIMEOUT))
        self._life.check()
        return BusUnavailableError("no confirmation came over the simulated connection")

    async def _store_late(self, entries: Sequence[Entry]) -> None:
        await asyncio.sleep(self._rng.uniform(0.0, 2 * TIMEOUT))
        await self._store(entries)

    async def _store(self, entries: Sequence[Entry]) -> None:
        """Whoever has sent it does not learn what became of it."""
        await asyncio.gather(self._server.propose(entries), return_exceptions=True)

    def _in_order(self, subject: str, data: bytes) -> None:
        """Publish after what was published before over this connection."""
        loop = asyncio.get_running_loop()
        self._clear_at = max(self._clear_at + 1e-6, loop.time() + self._latency())
        loop.call_at(self._clear_at, self._server.arrive, subject, data, context=_NOBODYS)

    def _latency(self) -> float:
        rough = self._rough
        slow = 100.0 if rough.slow and self._happens(rough.slow) else 1.0
        # A way of which nothing is heard for longer is no way: a connection is given up then.
        return min(TIMEOUT, exponential(self._rng) * rough.latency * slow)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability


class _Way:
    """From the server to a handler: messages take time, and keep their order."""

    def __init__(self, bus: SimulatedBus) -> None:
        self._bus = bus
        self._clear_at = 0.0

    def call(self, handler: Handler, message: Message) -> None:
        loop = asyncio.get_running_loop()
        self._clear_at = max(self._clear_at + 1e-6, loop.time() + self._bus._latency())
        loop.call_at(self._clear_at, self._hand_over, handler, message, context=self._bus._life.context)

    def _hand_over(self, handler: Handler, message: Message) -> None:
        if self._bus._life.alive:
            handler(message)


_on_their_way: set[asyncio.Task[Any]] = set()


def begin(coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    """Do something that belongs to no life."""
    task = asyncio.get_running_loop().create_task(coroutine, context=_NOBODYS)
    _on_their_way.add(task)
    task.add_done_callback(_on_their_way.discard)
    return task
