"""What the server says of a message that is read directly. Most reads of a task are little more than this."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from comfymesh.bus.client import Delivery
from comfymesh.bus.port import Message

_TOLD = re.compile(
    rb"\r\nNats-Subject: (\S+)\r\nNats-Sequence: (\d+)"
    rb"\r\nNats-Time-Stamp: (\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d(?:\.\d{1,6})?)\d*Z\r\n"
    rb"(?:Nats-Num-Pending: \d+\r\nNats-Last-Sequence: \d+\r\n)?\r\n\Z"
)
"""How nats-server 2.15 ends the headers."""

_MINUTES = 256


def message(delivery: Delivery) -> Message:
    """The message in the answer to a direct read."""
    if (told := _TOLD.search(delivery.head)) is None:
        return _message(delivery)
    subject, sequence, minute, seconds = told.groups()
    return Message(subject.decode(), delivery.data, int(sequence), _began(minute) + float(seconds))


def _message(delivery: Delivery) -> Message:
    """The same, however the headers are written."""
    headers = delivery.headers
    return Message(
        subject=headers["Nats-Subject"],
        data=delivery.data,
        sequence=int(headers["Nats-Sequence"]),
        time=datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp(),
    )


@lru_cache(_MINUTES)
def _began(minute: bytes) -> float:
    """When a minute began, seconds since the epoch."""
    return datetime.fromisoformat(f"{minute.decode()}:00Z").timestamp()
