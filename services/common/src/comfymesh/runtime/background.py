"""Long-running tasks of a process: none dies unnoticed, all end together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def stop(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they have ended, in whatever way. Those that have already cost nothing."""
    left = [task for task in tasks if task is not None and not _has_ended(task)]
    for task in left:
        task.cancel()
    if left:
        await asyncio.gather(*left, return_exceptions=True)


async def all_of(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """What all answer, in their order; one at least. If one fails, or who waits is cancelled, the others are stopped.

    Neither asyncio.gather nor a task group: where one of theirs fails in the moment in which they are cancelled, they
    raise what failed and forget that they were cancelled (Python 3.11). Who then tries again never ends.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()  # So that what failed is raised, while others have no result yet.
        return [task.result() for task in tasks]
    finally:
        await stop(*tasks)


def _has_ended(task: asyncio.Task[Any]) -> bool:
    if task.done() and not task.cancelled():
        task.exception()  # So asyncio does not say that nobody has looked.
    return task.done()


class Background:
    """Holds tasks that should run until the process stops.

    One that ends by an exception is a defect, or a fault that the process can't mend: it is logged, and `failed` is set
    so that the process stops and is started again by its supervisor, from a state that it can rebuild.

    Args:
        failed: Set when one fails; several may share it.
    """

    def __init__(self, failed: asyncio.Event | None = None) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failed = failed or asyncio.Event()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a coroutine beside the others."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        await stop(*self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s ended by a defect", task.get_name(), exc_info=error, extra={"action": "background_failed"})
            self.failed.set()
