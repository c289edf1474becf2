"""A server whose disk is full: what it accepted stays, what it did not store is refused, and it goes on with room."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.errors import StoreFullError
from comfymesh.bus.connection import Connection
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import BusFullError, BusUnavailableError, Entry
from comfymesh.bus.streams import TASKS
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system of its own")

SIZE = "12m"
RECORD = 20_000
TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Disk:
    """A small file system that only its own processes see.

    Attributes:
        holder: The process that keeps it.
        place: Where it is mounted, in the eyes of its processes.
    """

    holder: int
    place: Path

    @property
    def runner(self) -> list[str]:
        """Runs a command that sees it."""
        return ["nsenter", f"--target={self.holder}", "--mount", *([] if os.geteuid() == 0 else ["--user"])]

    def fill(self) -> Path:
        """Write to it until there is no room left; answers the file that takes it."""
        file = Path(f"/proc/{self.holder}/root{self.place}/filler")
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            file.write_bytes(bytes(100_000_000))
        return file


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    place = tmp_path / "nats"
    place.mkdir()
    mine = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    script = f'mount -t tmpfs -o size={SIZE} tmpfs "$0" && echo mounted && exec sleep infinity'
    holder = await asyncio.create_subprocess_exec(*mine, "sh", "-c", script, str(place), stdout=asyncio.subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"mounted\n"
        yield Disk(holder.pid, place)
    finally:
        holder.kill()
        await holder.wait()


@pytest.fixture
async def server(disk: Disk, tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path, runner=disk.runner) as made:
        yield made


@asynccontextmanager
async def bus_of(server: NatsServer) -> AsyncIterator[JetStreamBus]:
    async with JetStreamBus(await Connection.open(server.url, "test"), timeout=TIMEOUT) as bus:
        await bus.ensure_streams()
        yield bus


async def store(bus: JetStreamBus, first: int, count: int) -> tuple[list[str], BusUnavailableError | None]:
    """Store records one after the other; answers which were accepted, and the refusal that ended it."""
    accepted = list[str]()
    for number in range(first, first + count):
        subject = f"task.default.t{number}"
        try:
            await bus.append([Entry(subject, os.urandom(RECORD), 0)])
        except BusUnavailableError as error:
            return accepted, error
        accepted.append(subject)
    return accepted, None


async def there(bus: JetStreamBus) -> list[str]:
    found, place = list[str](), 0
    while page := await bus.after(TASKS, "task.>", place, 100):
        found += [message.subject for message in page]
        place = page[-1].sequence
    return found


async def stores_again(bus: JetStreamBus, number: int) -> bool:
    return not (await store(bus, number, 1))[1]


async def health(server: NatsServer) -> tuple[int, bool]:
    """What the server says of itself, and whether it speaks of a disk that is full."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.monitor_url}/healthz") as answer:
        return answer.status, os.strerror(errno.ENOSPC).lower() in (await answer.text()).lower()


async def test_what_jetstream_may_use_is_full(server: NatsServer) -> None:
    """It leaves a part of the disk alone, and goes on by itself as soon as something is dropped."""
    async with bus_of(server) as bus:
        accepted, refusal = await store(bus, 0, 1000)
        assert 100 < len(accepted) < 1000
        assert "is full" in str(refusal)
        assert isinstance(refusal, BusFullError)
        assert await there(bus) == accepted
        with Content.of(os.urandom(RECORD)) as content, pytest.raises(StoreFullError):
            await BusStore(bus).put("default", content)
        _, refused_again = await store(bus, 2000, 1)
        assert refused_again is not None
        for subject in accepted[:10]:
            await bus.purge(TASKS, subject, 10_000)
        assert await stores_again(bus, 3000)
        assert await there(bus) == [*accepted[10:], "task.default.t3000"]


async def test_the_disk_itself_is_full(server: NatsServer, disk: Disk) -> None:
    """Somebody else has filled it. The server then stores nothing until it is started anew, with room."""
    async with bus_of(server) as bus:
        accepted, none = await store(bus, 0, 20)
        assert none is None
        filler = disk.fill()
        more, refusal = await store(bus, 100, 20)
        assert refusal is not None
        unsure = f"task.default.t{100 + len(more)}"
        assert await there(bus) == [*accepted, *more]
        # So the health check of compose.yaml, which asks this, says so too, and goes on to say it when there is room.
        assert await health(server) == (503, True)
        filler.unlink()
        assert await health(server) == (503, True)
        await server.restart()
        await until(lambda: bus.connected, "the new server")
        assert await health(server) == (200, False)
        await until(lambda: stores_again(bus, 200), "an append with room")
        # What was not confirmed may have been stored or not; what was confirmed is there.
        assert [subject for subject in await there(bus) if subject not in {unsure, "task.default.t200"}] == [
            *accepted,
            *more,
        ]
