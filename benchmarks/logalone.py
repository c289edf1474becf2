"""What the task log sustains by itself: the records of tasks appended to it, guarded, as fast as one writer can."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import uuid4

from benchmarks import ground
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import Entry
from comfymesh.bus.tasklog import Stored, TaskLog

Chain = Sequence[bytes]
"""The records of one task, in order."""

_PAGE = 256
_WRITERS = 256


async def read(nats_url: str) -> list[Chain]:
    """The records of every task of a log, by task."""
    async with await JetStreamBus.open(nats_url, "benchmark") as bus:
        log, place = TaskLog(bus), 0
        found: list[Stored] = []
        while True:
            page, end = await log.page(place, _PAGE)
            if end == place:
                return chains(found)
            found += page
            place = end


def chains(records: Iterable[Stored]) -> list[Chain]:
    """Records by task, each task's in the order in which they come. Pure."""
    by_task: dict[object, list[bytes]] = {}
    for stored in records:
        by_task.setdefault(stored.key, []).append(stored.data)
    return list(by_task.values())


async def rate(wanted: Sequence[Chain], sync: ground.Sync) -> float:
    """Tasks a second that a log with nobody else in it takes, when it is given just these records."""
    with tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-") as directory:
        async with (
            ground.nats(sync, Path(directory)) as url,
            await JetStreamBus.open(url, "benchmark") as bus,
        ):
            began = time.perf_counter()
            await append(bus, wanted)
            return len(wanted) / (time.perf_counter() - began)


async def append(bus: JetStreamBus, wanted: Iterable[Chain]) -> None:
    """Append the chains, many side by side; each record is guarded by the one before it."""
    todo = iter(wanted)

    async def write() -> None:
        for chain in todo:
            subject, last = f"task.benchmark.{uuid4().hex}", 0
            for data in chain:
                (last,) = await bus.append([Entry(subject, data, last)])

    await asyncio.gather(*(write() for _ in range(_WRITERS)))
