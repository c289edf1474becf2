"""Client processes that note how late they hear: started, and asked for what they have noted."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

_CLIENTS = 2
"""Processes, each with one connection."""

Clients = Sequence[asyncio.subprocess.Process]


async def start(kind: str, source: str, target: str, streams: int) -> Clients:
    """Processes of `benchmarks.listener` that share the first `streams` streams, once all of them listen."""
    share = streams // _CLIENTS
    return [await _start(kind, source, target, str(share * number), str(share)) for number in range(_CLIENTS)]


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.listener", *arguments, stdin=pipe, stdout=pipe, limit=1 << 30
    )
    assert client.stdout is not None
    await client.stdout.readline()
    return client


def pids(clients: Clients) -> dict[str, int]:
    """Their process ids, by name."""
    return {f"client {number}": client.pid for number, client in enumerate(clients)}


async def latencies(clients: Clients) -> list[float]:
    """What they have noted so far, in milliseconds. They end."""
    outputs = [(await client.communicate(b"\n"))[0] for client in clients]
    return [float(latency) for output in outputs for latency in json.loads(output)]
