"""How long it is looked what has become of another message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from comfymesh.bus import guards
from comfymesh.bus.port import BusUnavailableError, Entry, Message
from comfymesh.bus.streams import Stream
from comfymesh.testkit.virtual_time import VirtualTimeLoop


@pytest.mark.parametrize("takes", [0.0, 0.5, 3.0])
def test_a_message_that_nobody_confirms_is_given_up_however_slow_the_server_is(takes: float) -> None:
    async def propose(entries: Sequence[Entry]) -> list[int | None]:
        await asyncio.sleep(takes)
        return [None] * len(entries)

    async def last(stream: Stream, subject: str) -> Message:
        del stream
        await asyncio.sleep(takes)
        return Message(subject, b"", 7)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(BusUnavailableError, match="being changed"):
            await guards.append([Entry("task.default.one", b"", 7)], propose, last)
        assert 5.0 <= loop.time() - before <= 5.0 + 3 * takes + 0.1

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())
