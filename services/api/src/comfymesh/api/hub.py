"""Hands every change of every task to the read model and to those who watch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import chain

from comfymesh.api.backlog import Backlog
from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watch import Mailbox
from comfymesh.bus.checkpoints import LogEvent
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Dropped, Stored, Unreadable
from comfymesh.tasks.record import Key


class Hub:
    """One per replica. Its source has neither gaps nor repetitions, so nobody downstream has to look for them.

    Attributes:
        ready: Set once everything that was stored before the start has been taken in.
        position: Sequence of the last change that was taken in.
        given_up: Sequence of the last change that somebody has waited for in vain. It may still come, or never.
    """

    def __init__(self, model: ReadModel) -> None:
        self._model = model
        self._mailboxes: dict[Key, set[Mailbox]] = {}
        self._backlogs: dict[str, set[Backlog]] = {}
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []
        self._draining = False
        self.ready = asyncio.Event()
        self.position = model.position
        self.given_up = 0

    async def follow(self, changes: AsyncIterator[LogEvent | CaughtUp]) -> None:
        """Take in changes for ever."""
        async for item in changes:
            if isinstance(item, CaughtUp):
                self._model.complete()
                self.ready.set()
            elif isinstance(item, Dropped):
                # No position: the mark will go, and a replica that starts later would not know it.
                self._model.drop(item)
            elif isinstance(item, Unreadable):
                self._model.pass_over(item)
            else:
                self._take(item)

    def _take(self, stored: Stored) -> None:
        self._model.put(stored)
        self.position = max(self.position, stored.sequence)
        for mailbox in self._mailboxes.get(stored.key, ()):
            mailbox.offer(stored)
        if self._backlogs:
            self._feed(stored)
        if self._awaited:
            self._settle()

    def _feed(self, stored: Stored) -> None:
        """Offer a change to those who want any, and to those who want only its group: there may be many of them."""
        for group in {"", stored.task.group}:
            for backlog in self._backlogs.get(group, ()):
                backlog.offer(stored)

    async def until(self, sequence: int) -> None:
        """Wait until the change with this sequence has been taken in."""
        if self.position >= sequence:
            return
        reached = asyncio.get_running_loop().create_future()
        self._awaited.append((sequence, reached))
        await reached

    def _settle(self) -> None:
        for sequence, reached in self._awaited:
            if sequence <= self.position and not reached.done():
                reached.set_result(None)
        self._awaited = [(sequence, reached) for sequence, reached in self._awaited if not reached.done()]

    @contextmanager
    def mailbox(self, key: Key) -> Iterator[Mailbox]:
        """A mailbox that receives every change of a task from now on; a closed one once the hub drains."""
        mailbox = Mailbox()
        if self._draining:
            mailbox.close()
        boxes = self._mailboxes.setdefault(key, set())
        boxes.add(mailbox)
        try:
            yield mailbox
        finally:
            mailbox.leave()
            boxes.discard(mailbox)
            if not boxes:
                self._mailboxes.pop(key, None)

    @contextmanager
    def feeding(self, backlog: Backlog) -> Iterator[None]:
        """Offer every change to a backlog from now on; it is closed once the hub drains."""
        if self._draining:
            backlog.close()
        backlogs = self._backlogs.setdefault(backlog.query.group, set())
        backlogs.add(backlog)
        try:
            yield
        finally:
            backlog.leave()
            backlogs.discard(backlog)
            if not backlogs:
                self._backlogs.pop(backlog.query.group, None)

    def mailboxes(self) -> Iterator[Mailbox]:
        """Everybody who watches one task."""
        return chain.from_iterable(self._mailboxes.values())

    def backlogs(self) -> Iterator[Backlog]:
        """Everybody who watches many tasks."""
        return chain.from_iterable(self._backlogs.values())

    def drain(self) -> None:
        """Tell every watcher to go elsewhere, those who come later too."""
        self._draining = True
        for boxes in self._mailboxes.values():
            for mailbox in boxes:
                mailbox.close()
        for backlogs in self._backlogs.values():
            for backlog in backlogs:
                backlog.close()
