"""How long scheduler and API take to start on a long log, and what memory they need for it."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
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
class Start:
    """What one start took until the process did its work: seconds, CPU seconds of its own, and megabytes then."""

    seconds: float
    cpu_seconds: float
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start costs.

    Attributes:
        live: Tasks in the log that wait for a slot.
        ended: Tasks in the log that have ended; of each task the log has one record.
        fill_seconds: How long it took to write them.
        schedulers: Each start of a scheduler, until it offers the first task. The first one reads the whole log, the
            others go on from what the one before has kept.
        apis: Each start of an API, until it listens; likewise.
    """

    live: int
    ended: int
    fill_seconds: float
    schedulers: Sequence[Start]
    apis: Sequence[Start]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        log = f"{self.live:,} tasks that wait, {self.ended:,} that have ended"
        return [
            *_rows(
                f"scheduler, start until the first offer ({log}): whole log, then from checkpoints", self.schedulers
            ),
            *_rows("API, start until it listens: likewise", self.apis),
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
    return Recovery(live, ended, filled, schedulers, apis)


async def fill(bus: JetStreamBus, wanted: Iterable[tuple[Key, bytes]]) -> None:
    """Append records of tasks that are not in the log, many at a time."""
    items = iter(wanted)
    while batch := list(itertools.islice(items, _BATCH)):
        await bus.append([Entry(subjects.task(key), data, 0) for key, data in batch])


async def _start_scheduler(bus: JetStreamBus, url: str, comfyui: str, directory: Path) -> Start:
    """Until the first offer. The node is there before: its report is stored."""
    async with _node(bus, url, comfyui, directory), _first(bus, subjects.work(_NODE)) as offered:
        began = time.perf_counter()
        async with ground.mortal(
            ground.service("scheduler", url, checkpoint_dir=str(directory / "kept")), directory
        ) as scheduler:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await offered.wait()
            return _since(began, scheduler.pid)


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


async def _start_api(url: str, directory: Path) -> Start:
    """Until it listens, which it does once it has read the log."""
    listen = f"127.0.0.1:{free_port()}"
    began = time.perf_counter()
    service = ground.service("api", url, api_listen=listen, checkpoint_dir=str(directory / "kept"))
    async with ground.mortal(service, directory) as api:
        await ground.until(lambda: _listens(listen), _PATIENCE_SECONDS)
        return _since(began, api.pid)


async def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


def _since(began: float, pid: int) -> Start:
    """What a process took that was started when `time.perf_counter()` answered `began`."""
    used = usage(pid)
    return Start(time.perf_counter() - began, used.cpu_seconds, used.resident_bytes / _MEGABYTE)


def _rows(what: str, starts: Sequence[Start]) -> list[tuple[str, str]]:
    seconds = ", ".join(f"{start.seconds:.1f}" for start in starts)
    cpu = ", ".join(f"{start.cpu_seconds:.1f}" for start in starts)
    megabytes = ", ".join(f"{start.resident_mb:.0f}" for start in starts)
    return [(f"**{what}**", f"**{seconds} s**"), ("its own CPU; memory then", f"{cpu} s; {megabytes} MB")]
