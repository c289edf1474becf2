"""Follows a task to its end, and tells those who want to know."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from comfymesh.client.events import Event, Progressed, TaskChanged
from comfymesh.client.models import Progress, Task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

OnProgress = Callable[[Progress], Awaitable[None] | None]
OnEvent = Callable[[Event], Awaitable[None] | None]


async def follow(events: AsyncGenerator[Event], on_progress: OnProgress | None, on_event: OnEvent | None) -> Task:
    """Passes events on and returns the task as the last one showed it."""
    task: Task | None = None
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TaskChanged):
                task = event.task
            if on_event is not None:
                await _settled(on_event(event))
            if on_progress is not None and isinstance(event, Progressed):
                await _settled(on_progress(event.progress))
    assert task is not None, "a watch that ends without an error has shown the task"
    return task


async def _settled(answer: Awaitable[None] | None) -> None:
    if inspect.isawaitable(answer):
        await answer
