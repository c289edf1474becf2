"""A bus in memory of which one thing is told late: for what starts before it has read all that it goes by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from comfymesh.bus.port import CaughtUp, Message
from comfymesh.bus.streams import Stream
from comfymesh.testkit.memory_bus import MemoryBus


class LateBus(MemoryBus):
    """A tail of some subjects tells nothing before `come` is set.

    Args:
        late: The subjects, as they are asked for; other tails are as quick as always.
        clock: As of MemoryBus.
    """

    def __init__(self, late: str = "", clock: Callable[[], float] | None = None) -> None:
        super().__init__(clock)
        self.late = late
        self.come = asyncio.Event()

    async def tail(self, stream: Stream, subject: str, after: int = 0) -> AsyncGenerator[Message | CaughtUp, None]:
        """See Bus.tail."""
        if subject == self.late:
            await self.come.wait()
        async with aclosing(super().tail(stream, subject, after)) as told:
            async for item in told:
                yield item
