"""How long scheduler and API take to start on a long log, and what memory they need for it."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ground, records
from benchmarks.processes import usage
from comfymesh.bus import subjects
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import Entry
from comfymesh.bus.streams import REPORTS
from comfymesh.stack.mesh import free_port
from comfymesh.tasks.record import Key

_MEGABYTE = 1e6
_BATCH = 1000
_PATIENCE_SECONDS = 600.0
_NODE = "somewhere"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start costs.

    Attributes:
        live: Tasks in the log that wait for a slot.
        ended: Tasks in the log that have ended; of each task the log has one record.
        fill_seconds: How long it took to write them.
        decides: Seconds from the start of a scheduler until it offers the first task, by start.
        scheduler_mb: Resident memory of the scheduler then, in MB.
        listens: Seconds from the start of an API until it answers, by start.
        api_mb: Resident memory of the API then, in MB.
    """

    live: int
    ended: int
    fill_seconds: float
    decides: list[float]
    scheduler_mb: list[float]
    listens: list[float]
    api_mb: list[float]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        log = f"{self.live:,} tasks that wait, {self.ended:,} that have ended"
        return [
            (f"**scheduler: start until the first offer** ({log})", f"**{_each(self.decides, '.1f')} s**"),
            ("scheduler: memory then", f"{_each(self.scheduler_mb, '.0f')} MB"),
            ("API: start until it answers", f"{_each(self.listens, '.1f')} s"),
            ("API: memory then", f"{_each(self.api_mb, '.0f')} MB"),
        ]


async def measure(live: int, ended: int, starts: int) -> Recovery:
    """Write such a log, and start both services on it `starts` times."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-")))
        began = time.perf_counter()
        async with ground.nats(ground.Sync.SELDOM, directory) as url, await JetStreamBus.open(url, "benchmark") as bus:
            await fill(bus, records.log(live, ended, time.time()))
        filled = time.perf_counter() - began
        url = await stack.enter_async_context(ground.nats(ground.Sync.ALWAYS, directory))
        bus = await stack.enter_async_context(await JetStreamBus.open(url, "benchmark"))
        apis = [await _start_api(url, directory) for _ in range(starts)]
        comfy = await stack.enter_async_context(ground.emulator("emulator"))
        schedulers = [await _start_scheduler(bus, url, comfy.url, directory) for _ in range(starts)]
    return Recovery(
        live,
        ended,
        filled,
        [seconds for seconds, _ in schedulers],
        [megabytes for _, megabytes in schedulers],
        [seconds for seconds, _ in apis],
        [megabytes for _, megabytes in apis],
    )


async def fill(bus: JetStreamBus, wanted: Iterable[tuple[Key, bytes]]) -> None:
    """Append records of tasks that are not in the log, many at a time."""
    items = iter(wanted)
    while batch := list(itertools.islice(items, _BATCH)):
        await bus.append([Entry(subjects.task(key), data, 0) for key, data in batch])


async def _start_scheduler(bus: JetStreamBus, url: str, comfyui: str, directory: Path) -> tuple[float, float]:
    """Seconds until the first offer, and megabytes then. The node is there before: its report is stored."""
    async with _node(bus, url, comfyui, directory), _first(bus, subjects.work(_NODE)) as offered:
        began = time.perf_counter()
        async with ground.mortal(ground.service("scheduler", url), directory) as scheduler:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await offered.wait()
            seconds = time.perf_counter() - began
            return seconds, usage(scheduler.pid).resident_bytes / _MEGABYTE


@asynccontextmanager
async def _node(bus: JetStreamBus, url: str, comfyui: str, directory: Path) -> AsyncIterator[None]:
    async with ground.mortal(ground.agent(url, _NODE, comfyui, directory), directory):
        await ground.until(lambda: _has_report(bus))
        yield


async def _has_report(bus: JetStreamBus) -> bool:
    return await bus.last(REPORTS, subjects.report(_NODE)) is not None


@asynccontextmanager
async def _first(bus: JetStreamBus, subject: str) -> AsyncIterator[asyncio.Event]:
    """Set once anything is published to a subject."""
    seen = asyncio.Event()
    subscription = await bus.subscribe(subject, lambda _: seen.set())
    try:
        yield seen
    finally:
        await subscription.close()


async def _start_api(url: str, directory: Path) -> tuple[float, float]:
    """Seconds until it answers, and megabytes then."""
    listen = f"127.0.0.1:{free_port()}"
    began = time.perf_counter()
    async with ground.mortal(ground.service("api", url, api_listen=listen), directory) as api:
        # It listens once it has read the log.
        await ground.until(lambda: _listens(listen), _PATIENCE_SECONDS)
        return time.perf_counter() - began, usage(api.pid).resident_bytes / _MEGABYTE


async def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


def _each(values: Iterable[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)
