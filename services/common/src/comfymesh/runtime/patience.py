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


class UnwantedError(Exception):
    """What was waited for is not wanted any more."""


class Wait:
    """A wait that others may give up, from outside of it. One wait at a time.

    Args:
        wanted: Whether it is wanted still. Asked before each try.
    """

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted
        self._scope: asyncio.Timeout | None = None

    async def patiently(self, ask: Callable[[], Awaitable[T]], *absences: type[Exception], what: str) -> T:
        """As `patiently`, for as long as it is wanted.

        Raises:
            UnwantedError: it was given up.
        """

        async def try_once() -> T:
            if not self._wanted():
                raise UnwantedError
            return await ask()

        try:
            async with asyncio.timeout(None) as self._scope:
                return await patiently(try_once, *absences, what=what)
        except TimeoutError:
            if self._scope is not None and self._scope.expired():
                raise UnwantedError from None
            raise
        finally:
            self._scope = None

    def give_up(self) -> None:
        """End the wait, if there is one now, whatever it does at the moment."""
        if self._scope is not None and not self._scope.expired():  # It may take a while to let go.
            self._scope.reschedule(asyncio.get_running_loop().time())


async def is_set(event: asyncio.Event, within: float) -> bool:
    """Whether an event is set, or is within so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
    return event.is_set()
