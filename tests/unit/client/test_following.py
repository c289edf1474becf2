"""A watch of many tasks takes messages apart: every change is an event, with the position behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from comfymesh.client import CaughtUp, RetryPolicy, TaskChanged, Unavailable, following
from comfymesh.client.retries import Server
from comfymesh.v1 import group_service_pb2, task_pb2
from comfymesh.v1.task_service_pb2 import PassedChange, WatchTasksRequest, WatchTasksResponse

AWAY = Unavailable("away", reason="SERVER_UNREACHABLE")


def passed(name: str) -> PassedChange:
    return PassedChange(resume_token=f"behind {name}", task=task_pb2.Task(name=name))


async def test_every_change_is_an_event_with_its_own_position_and_a_stream_goes_on_behind_the_last() -> None:
    whole = WatchTasksResponse(resume_token="behind c", task=task_pb2.Task(name="c"), passed=[passed("a"), passed("b")])
    asked, now = list[WatchTasksRequest](), [0.0]

    async def open_stream(request: WatchTasksRequest) -> AsyncGenerator[WatchTasksResponse]:
        asked.append(WatchTasksRequest.FromString(request.SerializeToString()))
        if len(asked) == 1:
            yield whole
        raise AWAY

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    server = Server(RetryPolicy(), clock=lambda: now[0], sleep=sleep, chance=lambda: 0.5)
    told = list[tuple[str, str]]()

    async def read() -> None:
        async for event in following.tasks(open_stream, server, WatchTasksRequest()):
            assert isinstance(event, TaskChanged)
            told.append((event.task.name, event.resume_token))

    with pytest.raises(Unavailable):
        await read()
    assert told == [("a", "behind a"), ("b", "behind b"), ("c", "behind c")]
    assert [asked[0].resume_token, asked[1].resume_token] == ["", "behind c"]
    assert all(request.max_changes > 1 for request in asked)


async def test_of_a_group_too() -> None:
    async def open_stream(
        request: group_service_pb2.WatchGroupRequest,
    ) -> AsyncGenerator[group_service_pb2.WatchGroupResponse]:
        assert request.max_changes > 1
        last = task_pb2.Task(name="b")
        yield group_service_pb2.WatchGroupResponse(resume_token="behind b", task=last, passed=[passed("a")])

    events = following.group(open_stream, Server(RetryPolicy()), group_service_pb2.WatchGroupRequest())
    told = [event async for event in events]
    assert [event.task.name for event in told if isinstance(event, TaskChanged)] == ["a", "b"]
    assert not any(isinstance(event, CaughtUp) for event in told)
