"""A little of everything: tasks that go well, fail in several ways, are cancelled, refused, and watched."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from comfymesh.client import AsyncClient, ComfyMeshError
from comfymesh.stack.graphs import Graph, graph_node, text_to_image

_numbers = itertools.count(1)


async def mixed(client: AsyncClient, rounds: int) -> None:
    """Run so many rounds one after the other; each takes about a second and leaves something in every metric."""
    watching = asyncio.create_task(_watch(client))
    try:
        for _ in range(rounds):
            await _round(client)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _round(client: AsyncClient) -> None:
    await _all(
        client,
        [
            *(picture(steps=4) for _ in range(3)),
            flat(),
            raising("runtime"),
            raising("oom_torch"),
        ],
    )
    waiting = await client.create(lasting(seconds=30.0), priority=5)
    await client.cancel(waiting, "it was only a test")
    with suppress(ComfyMeshError):
        await client.create({"1": graph_node("NoSuchClass")})


async def _all(client: AsyncClient, graphs: Iterable[Graph]) -> None:
    async def run(graph: Graph) -> None:
        with suppress(ComfyMeshError):
            await client.run(graph)

    await asyncio.gather(*map(run, graphs))


async def _watch(client: AsyncClient) -> None:
    async for _ in client.watch_tasks():
        pass


def picture(steps: int) -> Graph:
    """A picture from a text that was not used before."""
    return text_to_image(f"a lighthouse, number {next(_numbers)}", next(_numbers), steps, prefix="load")


def flat() -> Graph:
    """A picture of one color: no model is needed."""
    return _between("ImageInvert")


def raising(kind: str) -> Graph:
    """Raises an exception of a kind that the emulator's ProbeRaise knows."""
    return _between("ProbeRaise", kind=kind, delay=0.0, nonce=f"load-{next(_numbers)}")


def lasting(seconds: float) -> Graph:
    """Takes its time."""
    return _between(
        "ProbeSleepSteps", steps=10, seconds_per_step=seconds / 10, preview=False, nonce=f"load-{next(_numbers)}"
    )


def _between(class_type: str, **inputs: Any) -> Graph:  # noqa: ANN401  # JSON
    return {
        "1": graph_node("EmptyImage", width=16, height=16, batch_size=1, color=next(_numbers) % 0x1000000),
        "2": graph_node(class_type, image=["1", 0], **inputs),
        "3": graph_node("SaveImage", images=["2", 0], filename_prefix="load"),
    }
