"""The docker runtime when no engine answers. Needs none, so it runs everywhere."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.runtimes.contract import RuntimeFailed, RuntimeFailureReason
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.specs import DockerSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from comfymesh.agent.runtimes.contract import Runtime


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    spec = DockerSpec(name="one", image="comfymesh:dev", engine=f"unix://{tmp_path}/engine.sock")
    runtime = build(spec, node="here", state_directory=tmp_path)
    yield runtime
    await runtime.close()


@pytest.mark.parametrize("attempt", ["start", "stop", "poll", "log_tail"])
async def test_every_attempt_says_that_the_engine_does_not_answer(runtime: Runtime, attempt: str) -> None:
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "start": runtime.start,
        "stop": lambda: runtime.stop(timedelta(seconds=1)),
        "poll": runtime.poll,
        "log_tail": lambda: runtime.log_tail(10),
    }
    with pytest.raises(RuntimeFailed, match=r"no Docker Engine answers at unix://.*/engine\.sock") as failure:
        await attempts[attempt]()
    assert failure.value.reason is RuntimeFailureReason.ENGINE_UNREACHABLE


async def test_an_engine_that_hangs_does_not_hold_up_the_agent(runtime: Runtime, tmp_path: Path) -> None:
    asked, go_away = asyncio.Event(), asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_away.wait()
        writer.close()

    async with await asyncio.start_unix_server(hang, tmp_path / "engine.sock"):
        poll = asyncio.create_task(runtime.poll())
        await asked.wait()
        assert not poll.done()
        go_away.set()
        with pytest.raises(RuntimeFailed) as failure:
            await poll
    assert failure.value.reason is RuntimeFailureReason.ENGINE_UNREACHABLE
