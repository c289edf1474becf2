"""Hands every change of every task to the read model and to those who watch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from comfymesh.api.readmodel import ReadModel
from comfymesh.api.watch import Mailbox
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Dropped, Stored
from comfymesh.tasks.record import Key


class Hub:
    """One per replica. Its source has neither gaps nor repetitions, so nobody downstream has to look for them."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model
        self._mailboxes: dict[Key, set[Mailbox]] = {}
        self._draining = False
        self.ready = asyncio.Event()

    async def follow(self, changes: AsyncIterator[Stored | Dropped | CaughtUp]) -> None:
        """Take in changes for ever; `ready` is set once everything that was stored before has been taken in."""
        async for item in changes:
            if isinstance(item, CaughtUp):
                self.ready.set()
            elif isinstance(item, Dropped):
                self._model.drop(item.key)
            else:
                self._model.put(item)
                for mailbox in self._mailboxes.get(item.key, ()):
                    mailbox.offer(item)

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
            boxes.discard(mailbox)
            if not boxes:
                self._mailboxes.pop(key, None)

    def drain(self) -> None:
        """Tell every watcher to go elsewhere, those who come later too."""
        self._draining = True
        for boxes in self._mailboxes.values():
            for mailbox in boxes:
                mailbox.close()
