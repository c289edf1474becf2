"""Tasks that were asked for lately. The log is asked each time; what is still its last record is not read again."""

from __future__ import annotations

from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.record import Key

_MOST = 1000
_LARGEST = 4096
"""Bytes of a record that is kept: most are far smaller, and all together must not count for a replica's memory."""


class Recent:
    """Serves those who ask for the same task again and again, until it has ended.

    Args:
        log: Says which record is the last.
    """

    def __init__(self, log: TaskLog) -> None:
        self._log = log
        self._known: dict[Key, Stored] = {}

    async def get(self, key: Key) -> Stored | None:
        """The task as it stands, as `TaskLog.get`. It is shared with other callers: nobody may change it."""
        stored = await self._log.get(key, self._known.pop(key, None))
        if stored is not None and len(stored.data) <= _LARGEST:
            self._known[key] = stored
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]
        return stored
