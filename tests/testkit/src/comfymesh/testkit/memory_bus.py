"""The bus in memory: what JetStream promises, without a server. Its contract is that of the real one.

Tests may make it misbehave: `unreachable` refuses everything, `lose_confirmations` stores and then says that it is not
known, and `restart` forgets what a server that comes back has forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from comfymesh.bus import guards, streams
from comfymesh.bus.port import (
    BusUnavailableError,
    CaughtUp,
    Entry,
    Handler,
    Message,
    MessageTooLargeError,
    StreamState,
)
from comfymesh.bus.streams import Storage, Stream
from comfymesh.testkit.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PAYLOAD = 2 * 1024 * 1024 - 1024


@lru_cache(maxsize=65536)
def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that a pattern with the wildcards `*` and `>` means."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(given) >= len(wanted) and matches(".".join(wanted[:-1]), ".".join(given[: len(wanted) - 1]))
    return len(wanted) == len(given) and all(w in {"*", g} for w, g in zip(wanted, given, strict=True))


@dataclass
class _Kept:
    """What one stream holds."""

    stream: Stream
    created: str
    messages: dict[int, Message] = field(default_factory=dict)
    """By sequence."""
    subjects: dict[str, dict[int, Message]] = field(default_factory=dict)
    """The same by subject, and then by sequence."""
    sequence: int = 0
    ends: dict[int, float] = field(default_factory=dict)
    """When messages are dropped that said so themselves, by their sequence."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with each message."""

    def of(self, pattern: str) -> list[Message]:
        if "*" not in pattern and ">" not in pattern:
            return list(self.subjects.get(pattern, {}).values())
        of_each = [ours for subject, ours in self.subjects.items() if matches(pattern, subject)]
        if len(of_each) == 1:
            return list(of_each[0].values())
        return sorted((message for ours in of_each for message in ours.values()), key=_sequence)

    def last(self, subject: str) -> Message | None:
        ours = self.subjects.get(subject)
        return ours[next(reversed(ours))] if ours else None

    def store(self, subject: str, data: bytes, now: float) -> Message:
        self.sequence += 1
        message = Message(subject, data, self.sequence, now)
        self.messages[self.sequence] = message
        ours = self.subjects.setdefault(subject, {})
        ours[self.sequence] = message
        if 0 < self.stream.per_subject < len(ours):
            self.remove(ours[next(iter(ours))])
        return message

    def remove(self, message: Message) -> None:
        del self.messages[message.sequence]
        ours = self.subjects[message.subject]
        del ours[message.sequence]
        if not ours:
            del self.subjects[message.subject]

    def forget(self) -> None:
        self.messages, self.subjects, self.sequence = {}, {}, 0

    def expire(self, now: float) -> None:
        """Drop what has had its time. Messages are in the order of their times."""
        if self.stream.max_age is not None:
            oldest = now - self.stream.max_age.total_seconds()
            while self.messages and (first := self.messages[next(iter(self.messages))]).time <= oldest:
                self.remove(first)
        for sequence in [sequence for sequence, end in self.ends.items() if end <= now]:
            del self.ends[sequence]
            if (message := self.messages.get(sequence)) is not None:
                self.remove(message)


class _Listener:
    """A subscription: hands on what it is told, in order, when the loop comes round to it."""

    def __init__(self, subject: str, handler: Handler, leave: Callable[[_Listener], None]) -> None:
        self.subject = subject
        self._handler = handler
        self._leave = leave

    def hear(self, message: Message) -> None:
        asyncio.get_running_loop().call_soon(self._handler, message)

    async def close(self) -> None:
        """See Subscription.close."""
        self._leave(self)


class MemoryBus:
    """A bus for one event loop.

    Args:
        clock: Answers seconds since the epoch; ages messages.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or ManualClock()
        self._kept = {stream.name: _Kept(stream, f"made at {self._clock():.6f}") for stream in streams.ALL}
        self._listeners: list[_Listener] = []
        self._tails: list[tuple[Stream, str, asyncio.Queue[Message]]] = []
        self.unreachable = False
        self.lose_confirmations = False

    @property
    def connected(self) -> bool:
        """See Bus.connected."""
        return not self.unreachable

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """See Bus.append."""
        return await guards.append(entries, self.propose, self.last)

    async def propose(self, entries: Sequence[Entry]) -> list[int | None]:
        """See guards.Propose."""
        await self._round_trip()
        for entry in entries:
            check_size(entry.subject, entry.data)
        stored = [self._append(entry) for entry in entries]
        if self.lose_confirmations:
            raise BusUnavailableError("the confirmation was lost")
        return stored

    async def publish(self, subject: str, data: bytes) -> None:
        """See Bus.publish."""
        self._check_reachable()
        check_size(subject, data)
        self._take(subject, data)

    async def last(self, stream: Stream, subject: str) -> Message | None:
        """See Bus.last."""
        await self._round_trip()
        return self._current(stream).last(subject)

    async def at(self, stream: Stream, sequence: int) -> Message | None:
        """See Bus.at."""
        await self._round_trip()
        return self._current(stream).messages.get(sequence)

    async def state(self, stream: Stream) -> StreamState:
        """See Bus.state."""
        await self._round_trip()
        kept = self._current(stream)
        return StreamState(kept.created, kept.sequence, self._clock())

    async def after(self, stream: Stream, subject: str, sequence: int, limit: int) -> list[Message]:
        """See Bus.after."""
        await self._round_trip()
        found = [message for message in self._current(stream).of(subject) if message.sequence > sequence]
        return found[:limit]

    async def subjects(self, stream: Stream, subject: str) -> list[str]:
        """See Bus.subjects."""
        await self._round_trip()
        return list({message.subject for message in self._current(stream).of(subject)})

    async def purge(self, stream: Stream, subject: str, up_to: int) -> None:
        """See Bus.purge."""
        await self._round_trip()
        kept = self._kept[stream.name]
        for message in kept.of(subject):
            if message.sequence <= up_to:
                kept.remove(message)

    async def subscribe(self, subject: str, handler: Handler) -> _Listener:
        """See Bus.subscribe."""
        listener = _Listener(subject, handler, self._listeners.remove)
        self._listeners.append(listener)
        return listener

    async def tail(self, stream: Stream, subject: str, after: int = 0) -> AsyncGenerator[Message | CaughtUp, None]:
        """See Bus.tail."""
        queue: asyncio.Queue[Message] = asyncio.Queue()
        tail = (stream, subject, queue)
        there = [message for message in self._current(stream).of(subject) if message.sequence > after]
        if not after:
            there = sorted({m.subject: m for m in there}.values(), key=_sequence)
        self._tails.append(tail)
        try:
            for message in there:
                yield message._replace(age=self._clock() - message.time)
            yield CaughtUp()
            while True:
                yield await queue.get()
        finally:
            self._tails.remove(tail)

    async def work(self, stream: Stream, subject: str, name: str) -> AsyncGenerator[Message, None]:  # noqa: ARG002  # the contract's
        """See Bus.work."""
        kept = self._kept[stream.name]
        while True:
            waiting = kept.of(subject)
            if not waiting:
                kept.arrived.clear()
                await kept.arrived.wait()
                continue
            kept.remove(waiting[0])
            yield waiting[0]

    def stored(self, subject: str) -> list[Message]:
        """Everything that is stored under a subject, for tests to look at."""
        return [message for kept in self._kept.values() for message in kept.of(subject)]

    def restart(self) -> None:
        """The server was started again: streams in memory are new."""
        for kept in self._kept.values():
            if kept.stream.storage is Storage.MEMORY:
                kept.forget()
                kept.created = f"made at {self._clock():.6f}"

    def lose(self, stream: Stream, *, after: int) -> None:
        """A stream is what it was when `after` was its last message, as of a backup that was restored."""
        kept = self._kept[stream.name]
        for message in list(kept.messages.values()):
            if message.sequence > after:
                kept.remove(message)
        kept.sequence = after

    @contextmanager
    def away(self) -> Iterator[None]:
        """The server can't be reached for some time."""
        self.unreachable = True
        try:
            yield
        finally:
            self.unreachable = False

    def _append(self, entry: Entry) -> int | None:
        kept = self._stream_of(entry.subject)
        if kept is None:
            raise BusUnavailableError(f"no stream takes {entry.subject}")
        last = kept.last(entry.subject)
        if entry.expected is not None and entry.expected != (last.sequence if last else 0):
            return None
        sequence = self._take(entry.subject, entry.data)
        if entry.lifetime is not None and kept.stream.expiring:
            kept.ends[sequence] = self._clock() + entry.lifetime.total_seconds()
        return sequence

    def _take(self, subject: str, data: bytes) -> int:
        """Store a message where a stream wants it, and hand it to everybody who listens."""
        kept, message = self._stream_of(subject), Message(subject, data)
        if kept is not None:
            message = kept.store(subject, data, self._clock())
            for stream, pattern, queue in self._tails:
                if stream.name == kept.stream.name and matches(pattern, subject):
                    queue.put_nowait(message)
            kept.arrived.set()
        for listener in list(self._listeners):
            if matches(listener.subject, subject):
                listener.hear(Message(subject, data))
        return message.sequence

    def _stream_of(self, subject: str) -> _Kept | None:
        return self._kept.get(_stream_name(subject))

    def _current(self, stream: Stream) -> _Kept:
        kept = self._kept[stream.name]
        kept.expire(self._clock())
        return kept

    async def _round_trip(self) -> None:
        """A call to a server lets others run, whether it succeeds or not."""
        await asyncio.sleep(0)
        self._check_reachable()

    def _check_reachable(self) -> None:
        if self.unreachable:
            raise BusUnavailableError("the bus is unreachable, as the test wants it")


def _sequence(message: Message) -> int:
    return message.sequence


@lru_cache(maxsize=4096)
def _stream_name(subject: str) -> str:
    """The name of the stream that takes a subject; empty where none does."""
    return next((s.name for s in streams.ALL if any(matches(pattern, subject) for pattern in s.subjects)), "")


def check_size(subject: str, data: bytes) -> None:
    """Raises MessageTooLargeError where the bus does not take so much."""
    if len(data) > MAX_PAYLOAD:
        raise MessageTooLargeError(f"{len(data)} bytes are more than the bus takes for {subject}")


class ClusterBus(MemoryBus):
    """As a cluster: storing takes a while, in which who leads refuses any other guarded message on the same subject.

    Attributes:
        on_their_way: Subjects of guarded messages that are not stored yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_their_way = set[str]()

    async def propose(self, entries: Sequence[Entry]) -> list[int | None]:
        """See guards.Propose."""
        sent = [entry for entry in entries if entry.expected is None or entry.subject not in self.on_their_way]
        guarded = {entry.subject for entry in sent if entry.expected is not None}
        self.on_their_way |= guarded
        try:
            await asyncio.sleep(0.01 if guarded else 0)
            stored = dict(zip(sent, await super().propose(sent), strict=True))
        finally:
            self.on_their_way -= guarded
        return [stored.get(entry) for entry in entries]
