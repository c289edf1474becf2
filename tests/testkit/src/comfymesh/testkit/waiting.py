"""Waiting for what must come, with a deadline that only a defect reaches."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

DEADLINE = 40.0
_LOOK_SECONDS = 0.02


@overload
async def until(look: Callable[[], Awaitable[T | None]], what: str = "", deadline: float = DEADLINE) -> T: ...
@overload
async def until(look: Callable[[], T | None], what: str = "", deadline: float = DEADLINE) -> T: ...
async def until(look: Callable[[], Any], what: str = "", deadline: float = DEADLINE) -> Any:
    """Look again and again until there is something true to see, and return that.

    Raises:
        AssertionError: it did not come in time.
    """
    seen = None
    try:
        async with asyncio.timeout(deadline):
            while True:
                answer = look()
                seen = await answer if inspect.isawaitable(answer) else answer
                if seen:
                    return seen
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{what or look} did not come within {deadline:g} s; seen last: {seen!r}") from None


async def take(source: AsyncIterator[T], count: int, deadline: float = DEADLINE) -> list[T]:
    """The next `count` items of a source that need not end."""
    found: list[T] = []
    try:
        async with asyncio.timeout(deadline):
            while len(found) < count:
                found.append(await anext(source))
    except TimeoutError:
        raise AssertionError(f"only {len(found)} of {count} items came within {deadline:g} s: {found}") from None
    return found
