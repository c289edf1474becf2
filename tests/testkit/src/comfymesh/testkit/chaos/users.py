"""Users of the SDK, who count what they do and take every error that reaches them for a failure of the mesh."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from comfymesh.client import AsyncClient, TaskState
from comfymesh.testkit import graphs

_PAUSE_SECONDS = 0.2


class Users:
    """Some users, each with a client of its own, who call one after the other what the SDK offers.

    Args:
        target: The APIs, with commas between.
        count: How many users.

    Attributes:
        calls: How often each thing was done.
        failures: What went wrong of it.
    """

    def __init__(self, target: str, count: int) -> None:
        self._target = target
        self._count = count
        self.calls: Counter[str] = Counter()
        self.failures: list[str] = []

    async def run(self, over: asyncio.Event) -> None:
        """Go on until `over` is set."""
        await asyncio.gather(*(self._use(over) for _ in range(self._count)))

    async def _use(self, over: asyncio.Event) -> None:
        async with AsyncClient(self._target) as client:
            following = asyncio.create_task(self._follow(client))
            while not over.is_set():
                for what, do in _WAYS:
                    await self._do(what, do(client))
                    await asyncio.sleep(_PAUSE_SECONDS)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, client: AsyncClient) -> None:
        """One stream all the time."""

        async def all_tasks() -> None:
            async with contextlib.aclosing(client.watch_tasks()) as events:
                async for _ in events:
                    pass

        await self._do("watch_tasks", all_tasks())

    async def _do(self, what: str, call: Awaitable[None]) -> None:
        self.calls[what] += 1
        try:
            await call
        except Exception as error:  # whatever reaches a user counts
            self.failures.append(f"{what}: {type(error).__name__}: {error}")


async def _run(client: AsyncClient) -> None:
    result = await client.run(graphs.picture())
    assert result.artifacts[0].data


async def _create_and_watch(client: AsyncClient) -> None:
    task = await client.create(graphs.steps(10, 0.05))
    async with contextlib.aclosing(client.watch(task)) as events:
        async for _ in events:
            pass
    assert (await client.get(task)).state is TaskState.SUCCEEDED


async def _cancel(client: AsyncClient) -> None:
    task = await client.create(graphs.steps(200, 0.1))
    await client.cancel(task)


async def _list(client: AsyncClient) -> None:
    async with contextlib.aclosing(client.list(page_size=10)) as tasks:
        _ = [await anext(tasks) for _ in range(3)]


async def _upload(client: AsyncClient) -> None:
    asset = await client.upload(b"\x89PNG\r\n\x1a\n" * 1000, filename="input.png")
    await client.asset(asset)


async def _look(client: AsyncClient) -> None:
    await client.nodes()


_WAYS: Sequence[tuple[str, Callable[[AsyncClient], Awaitable[None]]]] = (
    ("run", _run),
    ("create and watch", _create_and_watch),
    ("create and cancel", _cancel),
    ("list", _list),
    ("upload", _upload),
    ("nodes", _look),
)
