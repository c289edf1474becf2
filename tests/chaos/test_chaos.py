"""Real processes, killed, frozen and cut off under load, keep every promise."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from comfymesh.runtime.faultpoints import FaultPoint
from comfymesh.testkit.chaos.__main__ import summary
from comfymesh.testkit.chaos.mischief import plan
from comfymesh.testkit.chaos.proxy import Line, Proxy
from comfymesh.testkit.chaos.run import wreak
from comfymesh.testkit.checking import check
from comfymesh.testkit.history import Answered, Fault, Heard, Logged, Read, Summed, Told
from comfymesh.testkit.recording import save

SECONDS = 8.0
SEED = 5


@pytest.mark.timeout(360)
async def test_every_promise_is_kept_whatever_is_killed(tmp_path: Path) -> None:
    """At every fault point, and then at random."""
    chaos = await wreak(SEED, SECONDS, tmp_path, list(FaultPoint))
    save(chaos.history, tmp_path / "history.jsonl")
    verdict = check(chaos.history)
    assert [str(found) for found in verdict.violations] == [], summary(chaos, verdict)
    died = {event.target for event in chaos.history if isinstance(event, Fault) and "fault point" in event.what}
    assert died == {f"{point.value} {point.name}" for point in FaultPoint}
    kinds = [type(event) for event in chaos.history]
    assert {Logged, Told, Heard, Summed, Answered, Read} <= set(kinds)
    assert sum(isinstance(event, Fault) and event.what == "kill" for event in chaos.history) >= 3
    assert len({event.task for event in chaos.history if isinstance(event, Logged)}) >= SECONDS


def test_a_seed_stands_for_one_plan() -> None:
    assert plan(random.Random(3), 100, 1) == plan(random.Random(3), 100, 1)


def test_a_plan_has_mischief_of_every_kind_and_ends_in_time() -> None:
    made = plan(random.Random(3), 600, 1)
    assert {mischief.what for mischief in made} == {"kill", "pause", "cut", "deaden", "delay", "trap"}
    assert {mischief.target for mischief in made if mischief.what == "kill"} >= {
        "nats",
        "api-0",
        "agent-1",
        "comfyui-1",
    }
    assert all(mischief.at + mischief.lasts <= 600 for mischief in made)


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Proxy]:
    """A line to a server that gives back what it is given."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


class Caller:
    """A connection over a line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def over(cls, line: Proxy) -> AsyncIterator[Caller]:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def say(self, word: bytes) -> bytes:
        self._writer.write(word)
        return await self.reader.read(100)

    async def is_cut_off(self) -> bool:
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True


class TestLine:
    async def test_that_is_well_passes_everything_on(self, line: Proxy) -> None:
        async with Caller.over(line) as caller:
            assert await caller.say(b"hello") == b"hello"

    async def test_that_is_cut_breaks_what_there_is_and_takes_nothing_new(self, line: Proxy) -> None:
        async with Caller.over(line) as before:
            await before.say(b"hello")
            await line.become(Line.CUT)
            assert await before.is_cut_off()
        async with Caller.over(line) as meanwhile:
            assert await meanwhile.is_cut_off()
        await line.become(Line.WELL)
        async with Caller.over(line) as after:
            assert await after.say(b"again") == b"again"

    async def test_that_is_dead_says_nothing_until_it_lives_again(self, line: Proxy) -> None:
        async with Caller.over(line) as caller:
            await caller.say(b"hello")
            await line.become(Line.DEAD)
            answer = asyncio.create_task(caller.say(b"still there?"))
            done, _ = await asyncio.wait([answer], timeout=0.2)
            assert not done
            await line.become(Line.WELL)
            assert await answer == b"still there?"
