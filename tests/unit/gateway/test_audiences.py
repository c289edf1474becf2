"""Which audiences are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.client import (
    AccessDenied,
    CaughtUp,
    ComfyMeshError,
    Event,
    Task,
    TaskChanged,
    TasksEvent,
    TaskState,
    Unavailable,
)
from comfymesh.gateway import audience as audience_module
from comfymesh.gateway.audience import Audience, Audiences
from comfymesh.gateway.mesh import Mesh
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.runtime.background import Background
from comfymesh.testkit.waiting import until


async def refusing() -> AsyncIterator[TasksEvent]:
    raise AccessDenied("who is that", reason="UNAUTHENTICATED", code="UNAUTHENTICATED")
    yield CaughtUp()


async def caught_up() -> AsyncIterator[TasksEvent]:
    yield CaughtUp()
    await asyncio.Event().wait()


async def test_the_audience_of_a_key_that_is_none_is_gone_with_the_answer() -> None:
    mesh = Mock(spec=Mesh, watch_all=refusing)
    async with Background() as background:
        audiences = Audiences(lambda: Audience(mesh, GatewaySettings(), background), background, 60.0)
        for number in range(50):
            with pytest.raises(AccessDenied):
                await audiences.of(f"key {number}").ready()
            audiences.left(f"key {number}")
        assert audiences._open == audiences._closing == audiences._running == {}


async def test_an_audience_stays_for_a_client_that_comes_back() -> None:
    mesh = Mock(spec=Mesh, watch_all=caught_up, tasks=AsyncMock(return_value=[]))
    async with Background() as background:
        audiences = Audiences(lambda: Audience(mesh, GatewaySettings(), background), background, 60.0)
        audience = audiences.of("key")
        await audience.ready()
        audiences.left("key")
        assert audiences.of("key") is audience
        audiences._close("key")


async def test_who_goes_before_there_is_a_socket_takes_the_audience_from_nobody() -> None:
    """As a page that is loaded again before its first socket has opened."""
    mesh = Mock(spec=Mesh, watch_all=caught_up, tasks=AsyncMock(return_value=[]))
    async with Background() as background:
        audiences = Audiences(lambda: Audience(mesh, GatewaySettings(), background), background, 0.0)
        first, second = audiences.of("key"), audiences.of("key")
        await second.ready()
        audiences.left("key")
        for _ in range(3):
            await asyncio.sleep(0)
        assert audiences._open == {"key": first} == {"key": second}
        second.join(socket := Mock(mark="mine", client_id="me"))
        second.leave(socket)
        audiences.left("key")
        await until(lambda: not audiences._open, "the end of the audience")
        assert audiences._users == {}


async def breaking() -> AsyncIterator[TasksEvent]:
    raise KeyError("a defect")
    yield CaughtUp()


async def test_a_defect_ends_what_one_key_is_told_and_not_the_process() -> None:
    mesh = Mock(spec=Mesh, watch_all=breaking)
    async with Background() as background:
        audiences = Audiences(lambda: Audience(mesh, GatewaySettings(), background), background, 60.0)
        with pytest.raises(ComfyMeshError, match="a defect of the gateway: KeyError"):
            await audiences.of("key").ready()
        assert not background.failed.is_set()
        mesh.watch_all = caught_up
        mesh.tasks = AsyncMock(return_value=[])
        await audiences.of("key").ready()  # Who comes back is followed anew.


async def test_a_prompt_that_can_not_be_followed_by_a_defect_is_said_and_others_are_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Task(name="tasks/one", state=TaskState.RUNNING)
    mesh = Mock(spec=Mesh, watch_all=caught_up, tasks=AsyncMock(return_value=[running]))
    mesh.prompt = AsyncMock(side_effect=KeyError("a defect"))
    async with Background() as background:
        audience = Audience(mesh, GatewaySettings(), background)
        background.spawn(audience.run(), "audience")
        await audience.ready()
        audience.join(Mock(mark="mine", client_id="me"))
        await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert "can't be followed by a defect" in caplog.text
        assert not background.failed.is_set()


@asynccontextmanager
async def following(socket: Mock, **calls: Any) -> AsyncIterator[Audience]:
    """An audience of one socket that follows a mesh which answers these calls so."""
    mesh = Mock(spec=Mesh, **calls)
    mesh.prompt = AsyncMock(return_value=Mock(id="one", graph={}, outputs=()))
    mesh.texts = AsyncMock(return_value={})
    async with Background() as background:
        audience = Audience(mesh, GatewaySettings(), background)
        audience.join(socket)
        background.spawn(audience.run(), "audience")
        yield audience


async def test_what_the_watch_of_all_tells_late_of_a_prompt_that_has_ended_is_told_to_nobody() -> None:
    """They are two streams: the one of a prompt may come to its end before the other tells that it runs."""
    states = TaskState.ASSIGNED, TaskState.RUNNING, TaskState.SUCCEEDED
    assigned, running, ended = (TaskChanged(Task(name="tasks/one", state=state)) for state in states)
    has_ended, all_told, socket = asyncio.Event(), asyncio.Event(), Mock(mark="mine", client_id="me")

    async def watch_all() -> AsyncIterator[TasksEvent]:
        yield CaughtUp()
        yield assigned
        await has_ended.wait()
        await until(lambda: not audience._followers, "the end of who follows the prompt")
        socket.tell.reset_mock()
        yield running
        yield ended
        all_told.set()
        await asyncio.Event().wait()

    async def watch(task: Task, *, previews: bool) -> AsyncIterator[Event]:
        yield running
        yield ended
        has_ended.set()

    async with following(socket, watch_all=watch_all, watch=watch, tasks=AsyncMock(return_value=[])) as audience:
        await all_told.wait()
        assert (audience.remaining(), audience._followers) == (0, {})
    assert socket.tell.call_args_list == []


MINE = {"comfyui/client": "mine"}


def broken() -> Unavailable:
    return Unavailable("it is away", reason="STREAM_BROKEN", code="UNAVAILABLE")


async def test_what_a_list_tells_late_of_a_prompt_that_has_ended_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watch of all begins anew, with a list; meanwhile that of the prompt comes to its end."""
    monkeypatch.setattr(audience_module, "_RETRY_SECONDS", 0.0)
    states = TaskState.RUNNING, TaskState.SUCCEEDED
    running, ended = (Task(name="tasks/one", state=state, labels=MINE) for state in states)
    ends, all_told, socket = asyncio.Event(), asyncio.Event(), Mock(mark="mine", client_id="me")

    async def watch_all() -> AsyncIterator[TasksEvent]:
        yield CaughtUp()
        if ends.is_set():
            yield TaskChanged(ended)
            all_told.set()
            await asyncio.Event().wait()
        yield TaskChanged(running)
        raise broken()

    async def watch(task: Task, *, previews: bool) -> AsyncIterator[Event]:
        yield TaskChanged(running)
        await ends.wait()
        yield TaskChanged(ended)

    async def tasks(states: object, most: int) -> list[Task]:
        if not audience._followers:
            return []
        ends.set()
        await until(lambda: not audience._followers, "the end of who follows the prompt")
        return [running]

    async with following(socket, watch_all=watch_all, watch=watch, tasks=tasks) as audience:
        await all_told.wait()
        assert (audience.remaining(), audience._followers) == (0, {})
    told = [call.args for call in socket.tell.call_args_list]
    assert [data["prompt_id"] for kind, data in told if kind == "execution_success"] == ["one"]


async def test_the_end_of_a_prompt_that_came_while_nothing_was_told_is_told_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audience_module, "_RETRY_SECONDS", 0.0)
    states = TaskState.QUEUED, TaskState.SUCCEEDED
    queued, ended = (Task(name=f"tasks/t{'0' * 32}", state=state, labels=MINE) for state in states)
    told: list[list[TasksEvent]] = [[CaughtUp(), TaskChanged(queued)], [CaughtUp()]]
    watches = iter(told)
    socket = Mock(mark="mine", client_id="me")

    async def watch_all() -> AsyncIterator[TasksEvent]:
        events = next(watches, None)
        for event in events or ():
            yield event
        if events is None:
            await asyncio.Event().wait()
        raise broken()

    calls = {"tasks": AsyncMock(return_value=[]), "task": AsyncMock(return_value=ended)}
    async with following(socket, watch_all=watch_all, **calls):
        heard = await until(lambda: _told(socket, "executing") and _told(socket), "the end")
    assert [kind for kind, _ in heard if kind.startswith("execution_")] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert [data for kind, data in heard if kind == "status"][-1] == {"status": {"exec_info": {"queue_remaining": 0}}}


async def test_how_long_the_queue_is_after_a_while_in_which_nothing_was_told_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audience_module, "_RETRY_SECONDS", 0.0)
    queued = Task(name="tasks/one", state=TaskState.QUEUED, labels={"comfyui/client": "other"})
    told: list[list[TasksEvent]] = [[CaughtUp(), TaskChanged(queued)], [CaughtUp()]]
    watches = iter(told)
    socket = Mock(mark="mine", client_id="me")

    async def watch_all() -> AsyncIterator[TasksEvent]:
        for event in next(watches):
            yield event
        if audience.remaining():
            raise broken()
        await asyncio.Event().wait()

    mesh = Mock(spec=Mesh, watch_all=watch_all, tasks=AsyncMock(return_value=[]))
    async with Background() as background:
        audience = Audience(mesh, GatewaySettings(), background)
        audience.join(socket)
        socket.tell.reset_mock()
        background.spawn(audience.run(), "audience")
        lengths = await until(lambda: (found := _lengths(socket))[-1:] == [0] and len(found) > 2 and found, "an end")
    assert lengths == [0, 1, 0]


def _told(socket: Mock, kind: str = "") -> list[tuple[str, Any]]:
    return [call.args for call in socket.tell.call_args_list if kind in {"", call.args[0]}]


def _lengths(socket: Mock) -> list[int]:
    return [data["status"]["exec_info"]["queue_remaining"] for _, data in _told(socket, "status")]


async def test_a_prompt_whose_name_is_used_again_is_another_one() -> None:
    """The first was deleted meanwhile."""
    first, second = (
        Task("tasks/one", TaskState.QUEUED, create_time=datetime(2030, 1, day, tzinfo=UTC)) for day in (1, 2)
    )
    all_told = asyncio.Event()

    async def watch_all() -> AsyncIterator[TasksEvent]:
        yield CaughtUp()
        for task in (first, replace(first, state=TaskState.SUCCEEDED), second):
            yield TaskChanged(task)
        all_told.set()
        await asyncio.Event().wait()

    mesh = Mock(spec=Mesh, watch_all=watch_all, tasks=AsyncMock(return_value=[]))
    async with Background() as background:
        audience = Audience(mesh, GatewaySettings(), background)
        background.spawn(audience.run(), "audience")
        await all_told.wait()
        assert audience.remaining() == 1
