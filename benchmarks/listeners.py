"""Client processes that note how late they hear: started, and asked for what they have noted."""

from __future__ import annotations

import asyncio
import json
import sys


async def start(module: str, *arguments: str) -> asyncio.subprocess.Process:
    """A process that runs `module`, once it has said that it listens."""
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=pipe, stdout=pipe, limit=1 << 30
    )
    assert client.stdout is not None
    await client.stdout.readline()
    return client


async def latencies(client: asyncio.subprocess.Process) -> list[float]:
    """What a client has noted so far, in milliseconds. It ends."""
    output, _ = await client.communicate(b"\n")
    return [float(latency) for latency in json.loads(output)]
