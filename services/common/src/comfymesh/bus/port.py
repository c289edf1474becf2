"""What the mesh asks of a message bus. JetStream drives it in production; a bus in memory serves unit tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from comfymesh.bus.streams import Stream


class Message(NamedTuple):
    """A message as it was delivered.

    Attributes:
        subject: Where it was published.
        data: Its payload.
        sequence: Its position in its stream; 0 for messages that no stream stored.
        time: When the stream stored it, seconds since the epoch; 0.0 for messages that no stream stored.
        age: For messages of a tail: how long it had been stored when it was handed out, in seconds by the server's own
            clock, which may differ from ours.
    """

    subject: str
    data: bytes
    sequence: int = 0
    time: float = 0.0
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A message to be stored.

    Attributes:
        subject: Where to.
        data: The payload.
        expected: The sequence that the subject's last message must have, 0 for none, None for no guard.
        lifetime: When the server drops it by itself, None for never. Whole seconds; only streams with `expiring` do.
    """

    subject: str
    data: bytes
    expected: int | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream as it is now.

    Attributes:
        created: When it was made, as the server says it; another stream of that name has another.
        last: Sequence of the last message that it ever stored.
        now: The server's time, seconds since the epoch.
        messages: How many messages it holds.
        size: How large it is, in bytes.
    """

    created: str
    last: int
    now: float
    messages: int = 0
    size: int = 0


class BusError(Exception):
    """The bus did not do what it was asked."""


class BusUnavailableError(BusError):
    """The bus can't be reached, or did not confirm in time. What was sent may or may not have been stored."""


class BusFullError(BusUnavailableError):
    """What the bus may use of its disk is full. Trying again helps once there is room."""


class SequenceConflictError(BusError):
    """The subject's last message is not the expected one: somebody else was first. Nothing was stored.

    `last` is the one that was read there instead, None for none. It is never the expected one, so whoever reads again
    finds what to decide anew from.
    """

    def __init__(self, entry: Entry, last: Message | None) -> None:
        self.subject = entry.subject
        self.expected = entry.expected
        self.last = last
        super().__init__(f"last message of {entry.subject} is not {entry.expected}")


class MessageTooLargeError(BusError):
    """The payload is larger than the server takes. Nothing was stored."""


class Subscription(Protocol):
    """A standing interest in subjects."""

    async def close(self) -> None:
        """End it. Messages on their way may still be handled."""
        ...


Handler = Callable[[Message], None]
"""Takes a message; must neither block nor raise."""


class Bus(Protocol):
    """Streams with guarded appends, and plain publishing."""

    @property
    def connected(self) -> bool:
        """Whether the server can be reached right now."""
        ...

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """Store messages and answer their sequences.

        Entries go out together, and those of one stream are stored in the order given. Each stands for itself: when one
        is refused, the others may be stored.

        Raises:
            SequenceConflictError: a guard did not hold.
            MessageTooLargeError: an entry is larger than the server takes; none was sent.
            BusUnavailableError: no confirmation came in time.
        """
        ...

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a message to whoever listens now; a stream that captures the subject keeps it. No confirmation."""
        ...

    async def last(self, stream: Stream, subject: str) -> Message | None:
        """The last message of `subject`, never stale. None where there is none."""
        ...

    async def at(self, stream: Stream, sequence: int) -> Message | None:
        """The message at a position of a stream, never stale. None where it is gone, or was never there."""
        ...

    async def state(self, stream: Stream) -> StreamState:
        """A stream as it is now.

        Raises:
            BusUnavailableError: no answer.
        """
        ...

    async def after(self, stream: Stream, subject: str, sequence: int, limit: int) -> list[Message]:
        """Up to `limit` messages of `subject` (wildcards allowed) with a sequence above `sequence`, in order.

        None is left out: whatever was confirmed before the call is there. Fewer than `limit` are answered only where no
        more follow.
        """
        ...

    async def subjects(self, stream: Stream, subject: str) -> list[str]:
        """Every subject that matches `subject` (wildcards) and has messages, in no order."""
        ...

    async def purge(self, stream: Stream, subject: str, up_to: int) -> None:
        """Drop every message of `subject` (wildcards allowed) with a sequence of at most `up_to`.

        Raises:
            BusUnavailableError: not confirmed. Calling again with the same arguments is safe.
        """
        ...

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Hand every message published to `subject` from now on to `handler`."""
        ...

    def tail(self, stream: Stream, subject: str, after: int = 0) -> AsyncIterator[Message | CaughtUp]:
        """The last message of each matching subject, in order of sequence, then every further one, without end or gap.

        With `after`, every message above that sequence instead, one that this stream has had.
        `CaughtUp` comes once, after the messages that were there at the beginning. Survives restarts of the server.
        """
        ...

    def work(self, stream: Stream, subject: str, name: str) -> AsyncIterator[Message]:
        """Messages of a work queue, each taken off the queue as it is handed out. `name` is the consumer's."""
        ...


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """A tail has handed out everything that was stored when it began."""
