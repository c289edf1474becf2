"""Calls of the API beside a bare grpc.aio server that gives the same answers for nothing.

Both are processes of their own, called by the same client over the same generated stubs, by turns. A wall rate is that
of server and client together, which share the machine; what a server itself costs is its CPU time for a call.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from benchmarks import callspeer, ground, records
from benchmarks.figures import Spread, rotated
from benchmarks.processes import usage
from benchmarks.recovery import fill
from comfymesh.bus import subjects
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.tasks import codec
from comfymesh.v1 import task_service_pb2_grpc

_TASKS = 1000
_IN_FLIGHT = 8
_STREAMS = 200
_WATCHERS_OF_ALL = 4
_NODE = "nowhere"
_FOREVER = "100000"
_WARM_UP = 0.1


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of a server has shown: calls or messages a second, and its CPU time for each in ms."""

    rate: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One method, through the mesh and bare.

    Attributes:
        rate, bare_rate: Calls or messages a second.
        cpu_ms, bare_cpu_ms: CPU time of the API, of the bare server, for each.
        share: What the API reaches of the bare rate, round by round.
        cpu_share: The bare server's CPU time by that of the API, of all rounds: what it would reach where the server
            alone is the limit.
        null, cpu_null: The same of a second turn of the bare server by its first: what can't be told apart.
    """

    rate: float
    bare_rate: float
    cpu_ms: float
    bare_cpu_ms: float
    share: Spread
    cpu_share: float
    null: Spread
    cpu_null: float

    @classmethod
    def of(cls, mesh: Sequence[Turn], bare: Sequence[Turn], again: Sequence[Turn]) -> Compared:
        """Out of the turns of each round, in their order; at least one."""
        return cls(
            statistics.median(turn.rate for turn in mesh),
            statistics.median(turn.rate for turn in bare),
            _cpu_ms(mesh),
            _cpu_ms(bare),
            _shares(mesh, bare),
            _cpu_ms(bare) / _cpu_ms(mesh),
            _shares(again, bare),
            _cpu_ms(bare) / _cpu_ms(again),
        )

    def rows(self, what: str) -> list[tuple[str, str]]:
        """The figures for a table."""
        null = f"null test {self.null.least:.0%} to {self.null.most:.0%}"
        return [
            (f"**{what}: CPU of the server by bare**", f"**{self.cpu_share:.0%}** (null test {self.cpu_null:.0%})"),
            (f"{what}: CPU of the server, API; bare", f"{self.cpu_ms:.3f}; {self.bare_cpu_ms:.3f} ms"),
            (f"{what}: per second, API; bare", f"{self.rate:.0f}; {self.bare_rate:.0f}"),
            (f"{what}: rate by bare", f"{self.share.median:.0%} ({null})"),
        ]


@dataclass(frozen=True, slots=True)
class Calls:
    """Each method by its name."""

    each: Mapping[str, Compared]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [row for what, compared in self.each.items() for row in compared.rows(what)]


def _cpu_ms(turns: Sequence[Turn]) -> float:
    # The kernel counts in hundredths of a second: a mean over all turns, which have one size, knows more than a median.
    return statistics.fmean(turn.cpu_ms for turn in turns)


def _shares(turns: Sequence[Turn], beside: Sequence[Turn]) -> Spread:
    return Spread.of([turn.rate / other.rate for turn, other in zip(turns, beside, strict=True)])


@dataclass(frozen=True, slots=True)
class _Server:
    """One of the two, and the streams that watch a task each.

    Attributes:
        tell: Has every watched task progress once.
    """

    pid: int
    stub: task_service_pb2_grpc.TaskServiceAsyncStub
    watching: Sequence[Any]
    tell: Callable[[], Awaitable[None]]


Work = Callable[[_Server, int], Awaitable[None]]
"""Makes that many calls, or receives that many messages."""


async def measure(rounds: int) -> Calls:
    """Measure `rounds` rounds of every method: API, bare server, bare server again, each round in another order."""
    async with _servers() as (mesh, bare, asking):
        return Calls(
            {
                what: await _compared(mesh, asking if what == _ASKING else bare, *work, rounds)
                for what, work in _WORK.items()
            }
        )


async def _compared(mesh: _Server, bare: _Server, work: Work, count: int, rounds: int) -> Compared:
    sides = {"mesh": mesh, "bare": bare, "again": bare}
    turns: dict[str, list[Turn]] = {name: [] for name in sides}
    for server in sides.values():
        await work(server, round(count * _WARM_UP))
    for number in range(rounds):
        for name in rotated(list(sides), number):
            turns[name].append(await _turn(sides[name], work, count))
    return Compared.of(turns["mesh"], turns["bare"], turns["again"])


async def _turn(server: _Server, work: Work, count: int) -> Turn:
    before, began = usage(server.pid).cpu_seconds, time.perf_counter()
    await work(server, count)
    seconds = time.perf_counter() - began
    return Turn(count / seconds, (usage(server.pid).cpu_seconds - before) * 1000 / count)


async def _get(server: _Server, count: int) -> None:
    await _side_by_side(lambda number: server.stub.GetTask(callspeer.get_task(number % _TASKS)), count)


async def _list(server: _Server, count: int) -> None:
    await _side_by_side(lambda _: server.stub.ListTasks(callspeer.list_tasks()), count)


async def _validate(server: _Server, count: int) -> None:
    await _side_by_side(lambda _: server.stub.CreateTask(callspeer.create_task()), count)


async def _side_by_side(call: Callable[[int], Awaitable[object]], count: int) -> None:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(caller() for _ in range(_IN_FLIGHT)))


async def _watch_each(server: _Server, count: int) -> None:
    """Everybody hears of a progress before the next one is told, so that none takes the place of another."""
    for _ in range(max(1, count // _STREAMS)):
        await server.tell()
        await asyncio.gather(*(_progress(stream) for stream in server.watching))


async def _progress(stream: Any) -> None:  # noqa: ANN401  # grpc's calls carry no types
    while not (await stream.read()).HasField("progress"):
        pass


async def _watch_all(server: _Server, count: int) -> None:
    async def watch() -> None:
        stream = server.stub.WatchTasks(callspeer.watch_tasks())
        async for message in stream:
            if message.HasField("caught_up"):
                break
        stream.cancel()

    for _ in range(max(1, count // _WATCHERS_OF_ALL // _TASKS)):
        await asyncio.gather(*(watch() for _ in range(_WATCHERS_OF_ALL)))


_ASKING = "GetTask, beside a bare server that asks NATS as well"
_WORK: Mapping[str, tuple[Work, int]] = {
    "GetTask": (_get, 2000),
    _ASKING: (_get, 2000),
    f"ListTasks, a page of {callspeer.PAGE}": (_list, 600),
    "CreateTask, checked only": (_validate, 1500),
    f"WatchTask, {_STREAMS} streams, a message": (_watch_each, 20 * _STREAMS),
    f"WatchTasks, {_WATCHERS_OF_ALL} streams, a message": (_watch_all, 2 * _WATCHERS_OF_ALL * _TASKS),
}
"""What is measured, and how much of it in a turn: about half a second of the bare server's."""


@asynccontextmanager
async def _servers() -> AsyncIterator[tuple[_Server, _Server, _Server]]:
    """A mesh with tasks of a node that never reports and is never missed; a bare server, and one that asks NATS."""
    async with AsyncExitStack() as stack:
        comfy = await stack.enter_async_context(ground.emulator("emulator"))
        environment = {"COMFYMESH_SCHEDULER_REPORT_TTL": _FOREVER}
        mesh = await stack.enter_async_context(ground.mesh([comfy.url], environment=environment))
        bus = await stack.enter_async_context(await JetStreamBus.open(mesh.nats_url, "benchmark"))
        now = time.time()
        running = (records.running(number, now, _NODE) for number in range(_TASKS))
        await fill(bus, ((record.key, codec.encode(record)) for record in running))
        ours = await stack.enter_async_context(grpc.aio.insecure_channel(mesh.target))

        async def publish() -> None:
            for number in range(_STREAMS):
                await bus.publish(subjects.progress(records.key(number)), callspeer.progress(0.5).SerializeToString())

        async def bare(*arguments: str) -> _Server:
            peer, target = await stack.enter_async_context(_peer(mesh.target, *arguments))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))

            async def tell() -> None:
                await channel.unary_unary(callspeer.TELL, None, None)(b"")

            return await _server(peer, channel, tell)

        yield await _server(mesh.processes.pid("api"), ours, publish), await bare(), await bare(mesh.nats_url)


async def _server(pid: int, channel: grpc.aio.Channel, tell: Callable[[], Awaitable[None]]) -> _Server:
    stub = task_service_pb2_grpc.TaskServiceStub(channel)
    watching = [stub.WatchTask(callspeer.watch_task(number)) for number in range(_STREAMS)]
    for stream in watching:
        await stream.read()
    return _Server(pid, stub, watching, tell)


@asynccontextmanager
async def _peer(*arguments: str) -> AsyncIterator[tuple[int, str]]:
    """A bare server: its process id and its address."""
    command = (sys.executable, "-m", "benchmarks.callspeer", *arguments)
    peer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert peer.stdout is not None
    try:
        yield peer.pid, f"127.0.0.1:{(await peer.stdout.readline()).decode().strip()}"
    finally:
        peer.terminate()
        await peer.wait()
