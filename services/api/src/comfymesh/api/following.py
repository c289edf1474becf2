"""Follows many tasks for one watcher: those that were there, then every change, from wherever it can be had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from comfymesh.api.backlog import Backlog
from comfymesh.api.bookmark import BEGINNING, Bookmark
from comfymesh.api.errors import RefusedError, draining
from comfymesh.api.hub import Hub
from comfymesh.api.query import Query
from comfymesh.api.readmodel import Place, ReadModel
from comfymesh.api.watching import Heartbeat
from comfymesh.bus.port import BusUnavailableError, CaughtUp
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.codec import seconds

_PAGE = 256
_CURRENT_SECONDS = 5.0

Told = tuple[Bookmark, Stored | CaughtUp | Heartbeat]
"""What a watcher is told, and where he is then."""


@dataclass(frozen=True, slots=True)
class Following:
    """Serves watchers of many tasks.

    Attributes:
        hub: Where changes come from.
        log: Where they are read by those who have fallen behind.
        model: What was there when a watcher came.
        heartbeat: Longest silence, in seconds.
    """

    hub: Hub
    log: TaskLog
    model: ReadModel
    heartbeat: float

    async def current(self, tenant: str) -> int:
        """Waits until the read model knows everything that was stored before; answers its position.

        Raises:
            BusUnavailableError: that took too long.
        """
        try:
            async with asyncio.timeout(_CURRENT_SECONDS):
                await self.hub.until(await self._newest(tenant))
        except TimeoutError:
            raise BusUnavailableError("the task log is not told any more") from None
        return self.hub.position

    async def _newest(self, tenant: str) -> int:
        """Sequence of the last record that is stored now; the position of the read model, where it knows it."""
        newest = self.hub.position
        while page := await self.log.since(tenant, newest, _PAGE):
            newest = page[-1].sequence
            if len(page) < _PAGE:
                break
        return newest

    async def watch(
        self, query: Query, at: Bookmark | None, *, include_existing: bool, heartbeat: float | None = None
    ) -> AsyncGenerator[Told, None]:
        """Everything behind a bookmark, without end; without one, what is there and what comes, or only what comes.

        Raises:
            RefusedError: the bookmark is ahead of the log, or the server is stopping.
        """
        now = await self.current(query.tenant)
        at = at or Bookmark(now, BEGINNING if include_existing else None)
        if at.position > now:
            raise _unknown(at, now)
        backlog = Backlog(query, at.position)
        with self.hub.feeding(backlog):
            if at.place is not None:
                async with aclosing(self._existing(backlog, at.place)) as tasks:
                    async for told in tasks:
                        yield told
            async with aclosing(self._replay(backlog)) as changes:
                async for told in changes:
                    yield told
            yield Bookmark(backlog.position), CaughtUp()
            async with aclosing(self._live(backlog, heartbeat or self.heartbeat)) as changes:
                async for told in changes:
                    yield told

    async def _existing(self, backlog: Backlog, after: Place) -> AsyncGenerator[Told, None]:
        """Tasks that have not changed since the watcher's position; those that have come with their changes."""
        base, place = backlog.position, after
        while True:
            _unless_closed(backlog)
            found, _ = self.model.page(backlog.query, _PAGE, place, base)
            for stored in found:
                place = Place(seconds(stored.task.create_time), stored.key.task_id)
                yield Bookmark(base, place), stored
            if len(found) < _PAGE:
                return
            await asyncio.sleep(0)

    async def _replay(self, backlog: Backlog) -> AsyncGenerator[Told, None]:
        """Changes that the log has already, until the watcher has joined those to whom they are handed out."""
        end = 0
        while not backlog.joined or backlog.position < end:
            _unless_closed(backlog)
            page = await self.log.since(backlog.query.tenant, backlog.position, _PAGE)
            if not backlog.joined and len(page) < _PAGE:
                backlog.join()
                end = self.hub.position
            elif not page:
                return
            for stored in page:
                if backlog.tell(stored):
                    yield Bookmark(backlog.position), stored

    async def _live(self, backlog: Backlog, heartbeat: float) -> AsyncGenerator[Told, None]:
        told = time.monotonic()
        while True:
            await backlog.wait(max(0.0, told + heartbeat - time.monotonic()))
            _unless_closed(backlog)
            found = backlog.take()
            for stored in found:
                if backlog.tell(stored):
                    yield Bookmark(backlog.position), stored
                    told = time.monotonic()
            if not backlog.joined:
                async with aclosing(self._replay(backlog)) as missed:
                    async for item in missed:
                        yield item
                        told = time.monotonic()
            elif not found:
                # Whatever has been handed out meanwhile did not concern the watcher.
                backlog.position = max(backlog.position, self.hub.position)
                if time.monotonic() - told >= heartbeat:
                    yield Bookmark(backlog.position), Heartbeat()
                    told = time.monotonic()


def _unless_closed(backlog: Backlog) -> None:
    """Nobody may take for all that there is what was told of it before the server began to stop."""
    if backlog.closed:
        raise draining()


def _unknown(at: Bookmark, last: int) -> RefusedError:
    message = f"the resume token names position {at.position} of the log, which ends at {last}; begin again without one"
    return RefusedError("RESUME_TOKEN_UNKNOWN", message, {"position": str(at.position), "last": str(last)})
