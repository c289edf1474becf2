"""What the libraries cost on the way of a task, with nothing of the mesh between: where its own cost begins.

A task needs at least one gRPC stream, one append from which the scheduler learns of it, one message to its node, and
one append from which the API learns of its end. Each of these legs is measured alone, between two processes like those
of the mesh, with a NATS server that syncs each message before it confirms.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import nats
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from benchmarks import ground, listeners
from benchmarks.barepeer import APPENDED, HEARD
from benchmarks.figures import Quantiles, percentile
from benchmarks.processes import usages
from comfymesh.bus.jetstream import JetStreamBus

_RECORD = bytes(700)
"""As large as the record of a short task."""
_WARM_UP = 20
_PAUSE = 0.005

Leg = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Bare:
    """Milliseconds.

    Attributes:
        stream: A grpc.aio stream, from the call to its only message.
        append: A message stored by NATS, from sending it until it is confirmed.
        delivered: The same until a consumer of the stream has it in another process.
        message: A message of NATS that nobody stores, until it is in another process.
    """

    stream: Quantiles
    append: Quantiles
    delivered: Quantiles
    message: Quantiles

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        least = self.stream.p50 + 2 * self.delivered.p50 + self.message.p50
        return [
            ("bare grpc.aio, a stream of one message: p50 / p95", _ms(self.stream)),
            ("bare NATS, append until it is confirmed: p50 / p95", _ms(self.append)),
            ("bare NATS, append until another process has it: p50 / p95", _ms(self.delivered)),
            ("bare NATS, message until another process has it: p50 / p95", _ms(self.message)),
            ("**what a task needs of them: stream, two appends, message**", f"**{least:.1f} ms**"),
        ]


async def measure(rounds: int) -> Bare:
    """Run `rounds` rounds, in each of which every leg has its turn."""
    async with _peer() as (port, nats_url, _), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        connection = await nats.connect(nats_url)
        legs = await _legs(connection, channel)
        times: dict[str, list[float]] = {name: [] for name in legs}
        for number in range(-_WARM_UP, rounds):
            for name, leg in legs.items():
                await asyncio.sleep(_PAUSE)
                took = await leg()
                if number >= 0:
                    times[name].append(took)
        await connection.close()
    return Bare(**{name: Quantiles.of(values) for name, values in times.items()})


async def _legs(connection: Client, channel: grpc.aio.Channel) -> dict[str, Leg]:
    jetstream = connection.jetstream()
    await jetstream.add_stream(name="BARE", subjects=[APPENDED])
    config = ConsumerConfig(deliver_subject=f"{APPENDED}.delivered", ack_policy="none")  # type: ignore[arg-type]
    await jetstream.add_consumer("BARE", config)
    heard = await connection.subscribe(HEARD)

    async def stream() -> float:
        began = time.perf_counter()
        await anext(aiter(channel.unary_stream("/bare.Bare/Echo", None, None)(_RECORD)))
        return ground.elapsed_ms(began)

    async def append() -> float:
        began = time.perf_counter()
        await jetstream.publish(APPENDED, _RECORD)
        took = ground.elapsed_ms(began)
        await heard.next_msg()
        return took

    async def delivered() -> float:
        return await _until_heard(lambda: connection.publish(APPENDED, _RECORD))

    async def message() -> float:
        return await _until_heard(lambda: connection.publish(f"{APPENDED}.delivered", _RECORD))

    async def _until_heard(send: Callable[[], Awaitable[None]]) -> float:
        began = time.monotonic_ns()
        await send()
        told = await heard.next_msg()
        return (int.from_bytes(told.data) - began) / 1e6

    return {"stream": stream, "append": append, "delivered": delivered, "message": message}


@dataclass(frozen=True, slots=True)
class BareCrowd:
    """Streams of a bare grpc.aio server that are told something at a rate, as the mesh's watchers are.

    Attributes:
        sent, received: Messages a second; later ones take the place of what was not sent yet.
        p50, p99: Milliseconds from making a message to its receipt.
        cores: Cores kept busy by the server and by each client.
        client: What they listen with, as in `watchers`.
    """

    streams: int
    rate: float
    sent: float
    received: float
    p50: float
    p99: float
    cores: dict[str, float]
    client: str

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        what = f"bare grpc.aio, {self.streams} streams, {self.rate:g} messages/s each, by {self.client}"
        cores = ", ".join(f"{name} {cores:.2f}" for name, cores in self.cores.items())
        return [
            (f"**{what}: p50 / p99**", f"**{self.p50:.1f} / {self.p99:.1f} ms**"),
            (f"{what}: messages/s sent, received; cores", f"{self.sent:.0f}, {self.received:.0f}; {cores}"),
        ]


async def crowd(streams: int, rate: float, seconds: float, client: str) -> BareCrowd:
    """Measure it with two client processes."""
    async with _peer() as (port, _, pid), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        clients = await listeners.start(client, "bare", f"127.0.0.1:{port}", streams)
        pids = {"server": pid, **listeners.pids(clients)}
        before, began = usages(pids), time.perf_counter()
        sent = int(await channel.unary_unary("/bare.Bare/Tell", None, None)(f"[{rate}, {seconds}]".encode()))
        after, took = usages(pids), time.perf_counter() - began
        noted = await listeners.latencies(clients)
    cores = {name: (after[name].cpu_seconds - before[name].cpu_seconds) / took for name in pids}
    p50, p99 = percentile(noted, 50), percentile(noted, 99)
    return BareCrowd(streams, rate, sent / took, len(noted) / took, p50, p99, cores, client)


@asynccontextmanager
async def _peer() -> AsyncIterator[tuple[str, str, int]]:
    """Another process that answers: its gRPC port, the URL of a NATS server, and its process id."""
    with tempfile.TemporaryDirectory(prefix="comfymesh-benchmark-") as directory:
        async with ground.nats(ground.Sync.ALWAYS, Path(directory)) as nats_url:
            await _reachable(nats_url)
            command = (sys.executable, "-m", "benchmarks.barepeer", nats_url)
            peer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert peer.stdout is not None
            try:
                yield (await peer.stdout.readline()).decode().strip(), nats_url, peer.pid
            finally:
                peer.terminate()
                await peer.wait()


async def _reachable(nats_url: str) -> None:
    """Wait until a server that is being started answers."""
    async with await JetStreamBus.open(nats_url, "benchmark", plan=()):
        return


def _ms(quantiles: Quantiles) -> str:
    return f"{quantiles.p50:.2f} / {quantiles.p95:.2f} ms"
