"""A message that is read directly is read quickly, and the same as by its headers one by one."""

from __future__ import annotations

from datetime import datetime

import pytest

from comfymesh.bus import direct
from comfymesh.bus.client import Delivery
from comfymesh.bus.port import Message

PLAIN = "Nats-Stream: TASKS\r\nNats-Subject: task.a.b\r\nNats-Sequence: 17\r\nNats-Time-Stamp: {time}\r\n"
TIMES = [
    "2026-11-28T13:00:09.123456789Z",
    "2026-11-28T13:00:59.5Z",
    "1970-01-01T00:00:00Z",
    "2026-11-28T13:00:09+01:00",
]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(
    "head",
    [
        PLAIN,
        PLAIN + "Nats-Num-Pending: 3\r\nNats-Last-Sequence: 16\r\n",
        "Nats-Expected-Last-Subject-Sequence: 4\r\nnats-ttl: 1s\r\n" + PLAIN,
        # What a writer has put there says nothing.
        "Nats-Subject: task.x.y\r\nNats-Sequence: 1\r\nNats-Time-Stamp: 2000-01-01T00:00:00Z\r\n" + PLAIN,
        "Nats-Time-Stamp: {time}\r\nNats-Sequence:17\r\nNats-Subject:  task.a.b\r\nOf-Later: something else\r\n",
    ],
)
def test_subject_sequence_and_time_are_those_of_the_server(head: str, time: str) -> None:
    said = f"NATS/1.0\r\n{head.format(time=time)}\r\n".encode()
    found = direct.message(Delivery("_INBOX.1", "", b"data", said))
    when = datetime.fromisoformat(time).timestamp()
    assert found == Message("task.a.b", b"data", 17, pytest.approx(when, abs=1e-6))
