"""Client processes that note how late they hear: started, and asked for what they have noted."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from itertools import pairwise

_CLIENTS = 2
"""Processes, each with one connection."""

Clients = Sequence[asyncio.subprocess.Process]


async def start(kind: str, source: str, target: str, streams: int) -> Clients:
    """Processes of `benchmarks.listener` that share the first `streams` streams, once all of them listen.

    Raises:
        ListenerFailedError: one of them could not.
    """
    bounds = [streams * number // _CLIENTS for number in range(_CLIENTS + 1)]
    return [await _start(kind, source, target, str(first), str(end - first)) for first, end in pairwise(bounds)]


class ListenerFailedError(Exception):
    """A listener ended by itself; what went wrong stands on standard error."""


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.listener", *arguments, stdin=pipe, stdout=pipe, limit=1 << 30
    )
    assert client.stdout is not None
    if not await client.stdout.readline():
        raise ListenerFailedError(arguments)
    return client


def pids(clients: Clients) -> dict[str, int]:
    """Their process ids, by name."""
    return {f"client {number}": client.pid for number, client in enumerate(clients)}


async def latencies(clients: Clients) -> list[float]:
    """What they have noted so far, in milliseconds. They end.

    Raises:
        ListenerFailedError: one of them was not told all that it should have been.
    """
    outputs = [(await client.communicate(b"\n"))[0] for client in clients]
    if any(client.returncode for client in clients):
        raise ListenerFailedError([client.returncode for client in clients])
    return [float(latency) for output in outputs for latency in json.loads(output)]
