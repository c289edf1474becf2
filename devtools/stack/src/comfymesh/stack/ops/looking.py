"""Looks again and again at what other processes do: they have no event to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_LOOK_SECONDS = 0.1


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so, however long that takes."""
    while not await is_so():  # noqa: ASYNC110  # see above
        await asyncio.sleep(_LOOK_SECONDS)
