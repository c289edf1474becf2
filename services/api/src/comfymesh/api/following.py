"""Follows many tasks for one watcher: those that were there, then every change, from wherever it can be had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
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
from comfymesh.tasks.moments import seconds

_PAGE = 256
_CURRENT_SECONDS = 5.0
_TOLD_SECONDS = 1.0
_PACE_SECONDS = 0.02
"""Messages that may tell several changes come no closer: what happens meanwhile is told in one."""
_MOST_BYTES = 1 << 20
"""Of the records that are told in one message: gRPC's clients take 4 MiB by default."""

Told = tuple[Bookmark, Stored | CaughtUp | Heartbeat]
"""What a watcher is told, and where he is then."""

Message = Sequence[Told]
"""What is told in one message: changes, or one thing else."""


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

    async def told(self) -> None:
        """Waits until the read model knows everything that callers were told here, but no longer than a moment.

        What did not come in time is not waited for again, and nothing that comes behind it: the log is read in order.
        """
        newest = self.log.newest
        if self.hub.position < self.hub.given_up:
            return
        try:
            async with asyncio.timeout(_TOLD_SECONDS):
                await self.hub.until(newest)
        except TimeoutError:
            self.hub.given_up = newest

    async def _newest(self, tenant: str) -> int:
        """Sequence of the last record that is stored now; the position of the read model, where it knows it."""
        newest = self.hub.position
        while page := await self.log.since(tenant, newest, _PAGE):
            newest = page[-1].sequence
            if len(page) < _PAGE:
                break
        return newest

    async def watch(
        self,
        query: Query,
        at: Bookmark | None,
        *,
        include_existing: bool,
        most: int = 1,
        heartbeat: float | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Everything behind a bookmark, without end; without one, what is there and what comes, or only what comes.

        At most `most` changes are told together.

        Raises:
            RefusedError: the bookmark is ahead of the log, or the server is stopping.
        """
        now = await self.current(query.tenant)
        at = at or Bookmark(now, BEGINNING if include_existing else None)
        # Another replica, which gave it, may have been told more of what other tenants do than this one so far.
        if at.position > now and at.position > (end := await self.log.end()):
            raise _unknown(at, end)
        backlog = Backlog(query, at.position)
        with self.hub.feeding(backlog):
            if at.place is not None:
                async with aclosing(self._existing(backlog, at.place, most)) as tasks:
                    async for message in tasks:
                        yield message
            async with aclosing(self._replay(backlog, most)) as changes:
                async for message in changes:
                    yield message
            yield [(Bookmark(backlog.position), CaughtUp())]
            async with aclosing(self._live(backlog, most, heartbeat or self.heartbeat)) as changes:
                async for message in changes:
                    yield message

    async def _existing(self, backlog: Backlog, after: Place, most: int) -> AsyncGenerator[Message, None]:
        """Tasks that have not changed since the watcher's position; those that have come with their changes."""
        base, place = backlog.position, after
        while True:
            _unless_closed(backlog)
            found, _ = self.model.page(backlog.query, _PAGE, place, base)
            for message in _together([(Bookmark(base, _place(stored)), stored) for stored in found], most):
                yield message
            if len(found) < _PAGE:
                return
            place = _place(found[-1])
            await asyncio.sleep(0)

    async def _replay(self, backlog: Backlog, most: int) -> AsyncGenerator[Message, None]:
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
            for message in _together(_changes(backlog, page), most):
                yield message

    async def _live(self, backlog: Backlog, most: int, heartbeat: float) -> AsyncGenerator[Message, None]:
        told = time.monotonic()
        while True:
            await backlog.wait(max(0.0, told + heartbeat - time.monotonic()))
            if most > 1 and (early := told + _PACE_SECONDS - time.monotonic()) > 0:
                await asyncio.sleep(early)
            _unless_closed(backlog)
            found = backlog.take()
            for message in _together(_changes(backlog, found), most):
                yield message
                told = time.monotonic()
            if not backlog.joined:
                async with aclosing(self._replay(backlog, most)) as missed:
                    async for message in missed:
                        yield message
                        told = time.monotonic()
            elif not found:
                # Whatever has been handed out meanwhile did not concern the watcher.
                backlog.position = max(backlog.position, self.hub.position)
                if time.monotonic() - told >= heartbeat:
                    yield [(Bookmark(backlog.position), Heartbeat())]
                    told = time.monotonic()


def _place(stored: Stored) -> Place:
    return Place(seconds(stored.task.create_time), stored.key.task_id)


def _changes(backlog: Backlog, found: Sequence[Stored]) -> list[tuple[Bookmark, Stored]]:
    return [(Bookmark(stored.sequence), stored) for stored in backlog.news(found)]


def _together(changes: Sequence[tuple[Bookmark, Stored]], most: int) -> Iterator[Message]:
    """The same in parts, of `most` changes and `_MOST_BYTES` at most; one that is larger is a part by itself."""
    part, size = list[tuple[Bookmark, Stored]](), 0
    for change in changes:
        _, stored = change
        if part and (len(part) >= most or size + len(stored.data) > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(change)
        size += len(stored.data)
    if part:
        yield part


def _unless_closed(backlog: Backlog) -> None:
    """Nobody may take for all that there is what was told of it before the server began to stop."""
    if backlog.closed:
        raise draining()


def _unknown(at: Bookmark, last: int) -> RefusedError:
    message = f"the resume token names position {at.position} of the log, which ends at {last}; begin again without one"
    return RefusedError("RESUME_TOKEN_UNKNOWN", message, {"position": str(at.position), "last": str(last)})
