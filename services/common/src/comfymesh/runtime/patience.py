"""Goes on asking while what is needed is away, for those who can't do without the answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.25

T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]], *absences: type[Exception], what: str) -> T:
    """What `ask` answers, as soon as it does not raise one of `absences` any more.

    Args:
        ask: Asked again and again; must be safe to repeat.
        absences: Errors that pass: the bus or a store can't be reached now.
        what: What is waited for, for the log.
    """
    level = logging.INFO
    while True:
        try:
            return await ask()
        except absences as error:
            # Once is enough: many may wait, and for long.
            logger.log(level, "waiting to %s: %s", what, error, extra={"action": "waiting"})
            level = logging.DEBUG
            await asyncio.sleep(_WAIT_SECONDS)


async def is_set(event: asyncio.Event, within: float) -> bool:
    """Whether an event is set, or is within so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
    return event.is_set()
