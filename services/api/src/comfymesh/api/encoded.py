"""Responses that are put together from parts that are encoded already. Pure.

The bytes of a message are those of its fields, one behind the other. To make a message of a part that is a message
already, protobuf copies that part field by field and encodes the copy: for the progress of a watcher that
took 8 microseconds, and takes 1.5 in this way. (ADR 56)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message

from comfymesh.api import bookmark
from comfymesh.api.bookmark import Bookmark
from comfymesh.bus.tasklog import Stored
from comfymesh.v1 import task_service_pb2

Part = Callable[[bytes], bytes]
"""Makes a field of what that holds."""

_LENGTH_DELIMITED = 2


def part(of: type[Message], field: str) -> Part:
    """How a field of a message is encoded that holds a text, bytes or a message; of those that repeat, once."""
    tag = _varint(of.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED)
    return lambda data: tag + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    return bytes((number & 0x7F | 0x80,)) + _varint(number >> 7)


class Telling:
    """Encodes the responses of a method that tells events, each with the resume token for the position after it.

    Args:
        response: Their type.
        events: The field for each kind of event.
    """

    def __init__(self, response: type[Message], events: Mapping[type, str]) -> None:
        self._token = part(response, "resume_token")
        self._events = {kind: (part(response, field), _data_of(kind)) for kind, field in events.items()}

    def tell(self, token: str, event: object) -> bytes:
        """One event."""
        frame, data = self._events[type(event)]
        return self._token(token.encode()) + frame(data(event))


class TellingMany(Telling):
    """The same for methods that follow many tasks, and tell changes before the last one with it."""

    def __init__(self, response: type[Message], events: Mapping[type, str]) -> None:
        super().__init__(response, events)
        self._passed = part(response, "passed")

    def tell_together(self, place: Bookmark, event: object, before: Iterable[tuple[Bookmark, object]]) -> bytes:
        """An event, and the changes before it."""
        passed = (_PASSED.tell(bookmark.make_token(at), change) for at, change in before)
        return b"".join(map(self._passed, passed)) + self.tell(bookmark.make_token(place), event)


def _data_of(kind: type) -> Callable[[Any], bytes]:
    """How an event of a kind is encoded: a record, a message, or a mark without content."""
    if kind is Stored:
        return attrgetter("task_data")
    return kind.SerializeToString if issubclass(kind, Message) else lambda _: b""


_PASSED = Telling(task_service_pb2.PassedChange, {Stored: "task"})
