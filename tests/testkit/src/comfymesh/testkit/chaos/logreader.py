"""Reads the task log of a real mesh, with what each writer expected: a plain consumer, none of our own code between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import nats
from nats.js.errors import NotFoundError

from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.bus.streams import TASKS
from comfymesh.testkit import logdump
from comfymesh.testkit.history import Logged, Made

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


async def records(url: str) -> AsyncIterator[tuple[Message, int | None]]:
    """Every record of the log, with the sequence that was expected, None where there was no guard."""
    client = await nats.connect(url.split(","))
    try:
        stream, sequence = client.jetstream(), 0
        while True:
            try:
                found = await stream.get_msg(TASKS.name, seq=sequence + 1, subject=subjects.ALL_TASKS, next=True)
            except NotFoundError:
                return
            assert found.seq is not None
            assert found.subject is not None
            sequence = found.seq
            expected = (found.headers or {}).get(_EXPECTED)
            time = found.time.timestamp() if found.time is not None else 0.0
            message = Message(found.subject, found.data or b"", sequence, time)
            yield message, None if expected is None else int(expected)
    finally:
        await client.close()


async def history(url: str, began: float) -> list[Logged | Made]:
    """The log as a history has it; `began` as `logdump.records` has it."""
    return [event async for message, expected in records(url) for event in logdump.records(message, expected, began)]
