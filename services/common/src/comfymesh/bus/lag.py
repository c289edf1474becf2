"""How far a follower of the task log is behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from comfymesh.bus import subjects
from comfymesh.bus.checkpoints import LogEvent
from comfymesh.bus.port import Bus, CaughtUp
from comfymesh.bus.streams import TASKS


class Lag:
    """The lag of one follower, by the server's clock alone.

    Args:
        bus: Where the log is.
        start: Up to where it was read before.
    """

    def __init__(self, bus: Bus, start: int = 0) -> None:
        self._bus = bus
        self._position = start

    async def noting(self, events: AsyncIterator[LogEvent | CaughtUp]) -> AsyncIterator[LogEvent | CaughtUp]:
        """Hands on what the follower takes in, and notes how far it has come."""
        async for event in events:
            if not isinstance(event, CaughtUp):
                self.took(event.sequence)
            yield event

    def took(self, sequence: int) -> None:
        """The follower has taken in the message at this position."""
        self._position = max(self._position, sequence)

    async def measure(self) -> float:
        """Seconds for which the oldest message has waited that was not taken in yet; 0 where there is none.

        Raises:
            BusUnavailableError: no answer.
        """
        before = self._position
        state = await self._bus.state(TASKS)
        waiting = await self._bus.after(TASKS, subjects.ALL_TASKS, before, 1)
        # What was taken in while we asked does not wait.
        if not waiting or waiting[0].sequence <= self._position:
            return 0.0
        return max(state.now - waiting[0].time, 0.0)
