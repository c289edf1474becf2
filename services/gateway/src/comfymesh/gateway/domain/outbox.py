"""What is still to be sent to one socket: bounded, whoever reads it, and however slowly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

Message = str | bytes

_CALM = 64
"""While fewer messages wait, none is left out."""


@dataclass(slots=True)
class Outbox:
    """Messages in order. Once many wait, a newer one takes the place of an older one that it makes stale.

    Attributes:
        most_messages: A reader who has more than so many to read is too slow.
        most_bytes: And so is one who has more than so many bytes to read.
        too_slow: Whether it is.
    """

    most_messages: int = 2_000
    most_bytes: int = 16 * 1024 * 1024
    too_slow: bool = False
    _waiting: OrderedDict[int, tuple[Message, Hashable]] = field(default_factory=OrderedDict)
    _slots: dict[Hashable, int] = field(default_factory=dict)
    _next: int = 0
    _bytes: int = 0

    def put(self, message: Message, slot: Hashable = None) -> None:
        """Adds a message.

        Args:
            message: The message.
            slot: Messages of the same slot make each other stale; None for one that has to be read.
        """
        if slot is not None and len(self._waiting) >= _CALM and slot in self._slots:
            self._drop(self._slots[slot])
        self._waiting[self._next] = message, slot
        if slot is not None:
            self._slots[slot] = self._next
        self._next += 1
        self._bytes += len(message)
        if len(self._waiting) > self.most_messages or self._bytes > self.most_bytes:
            self.too_slow = True

    def take(self) -> Message | None:
        """The next message; None where none waits."""
        return self._drop(next(iter(self._waiting))) if self._waiting else None

    def _drop(self, number: int) -> Message:
        message, slot = self._waiting.pop(number)
        self._bytes -= len(message)
        if self._slots.get(slot) == number:
            del self._slots[slot]
        return message
