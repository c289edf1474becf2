"""Many tasks in few calls: what the server could not take in is sent again, and everything comes in its place."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest

from comfymesh.client import ComfyMeshError, RetryPolicy, Task, Unavailable, batches
from comfymesh.client.retries import Server
from comfymesh.v1 import task_pb2
from comfymesh.v1 import task_service_pb2 as pb

UNAVAILABLE = 14
INVALID_ARGUMENT = 3


class Sender:
    """A server that answers each call as it is told to."""

    def __init__(self, *answers: Callable[[pb.CreateTaskRequest], pb.BatchCreateTasksResult] | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[list[str]] = []

    async def __call__(self, batch: pb.BatchCreateTasksRequest, timeout: float) -> pb.BatchCreateTasksResponse:
        assert timeout > 0
        self.calls.append([request.task_id for request in batch.requests])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return pb.BatchCreateTasksResponse(results=[answer(request) for request in batch.requests])


def made(request: pb.CreateTaskRequest) -> pb.BatchCreateTasksResult:
    return pb.BatchCreateTasksResult(task=task_pb2.Task(name=f"tasks/{request.task_id}"))


def refusing(code: int, *ids: str) -> Callable[[pb.CreateTaskRequest], pb.BatchCreateTasksResult]:
    refused = pb.BatchCreateTasksResult(refusal=pb.Refusal(code=code, message="no"))
    return lambda request: refused if request.task_id in ids else made(request)


@pytest.fixture
def server() -> Server:
    """Never waits in earnest."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    return Server(RetryPolicy(), clock=lambda: now[0], sleep=sleep, chance=lambda: 0.5)


async def create(send: Sender, server: Server, *ids: str) -> list[str]:
    requests = [pb.CreateTaskRequest(task_id=task_id) for task_id in ids]
    found = await batches.create(send, server, requests, validate_only=False, timeout=30.0)
    return [_told(outcome) for outcome in found]


def _told(outcome: Task | ComfyMeshError) -> str:
    return outcome.name if isinstance(outcome, Task) else outcome.code


async def test_everything_comes_in_its_place(server: Server) -> None:
    send = Sender(refusing(INVALID_ARGUMENT, "b"))
    assert await create(send, server, "a", "b", "c") == ["tasks/a", "INVALID_ARGUMENT", "tasks/c"]
    assert send.calls == [["a", "b", "c"]]


async def test_what_was_not_taken_in_is_sent_again_alone(server: Server) -> None:
    send = Sender(refusing(UNAVAILABLE, "a", "c"), refusing(UNAVAILABLE, "c"), made)
    assert await create(send, server, "a", "b", "c") == ["tasks/a", "tasks/b", "tasks/c"]
    assert send.calls == [["a", "b", "c"], ["a", "c"], ["c"]]


async def test_a_call_that_was_not_answered_is_made_again(server: Server) -> None:
    send = Sender(Unavailable("away", reason="SERVER_UNREACHABLE", code="UNAVAILABLE"), made)
    assert await create(send, server, "a", "b") == ["tasks/a", "tasks/b"]
    assert send.calls == [["a", "b"], ["a", "b"]]


async def test_what_is_never_taken_in_says_so_in_its_place(server: Server) -> None:
    assert await create(Sender(refusing(UNAVAILABLE, "b")), server, "a", "b") == ["tasks/a", "UNAVAILABLE"]


async def test_a_server_that_stays_away_is_an_error(server: Server) -> None:
    send = Sender(Unavailable("away", reason="SERVER_UNREACHABLE", code="UNAVAILABLE"))
    with pytest.raises(Unavailable):
        await create(send, server, "a")


async def test_calls_hold_no_more_than_the_server_takes(server: Server) -> None:
    send = Sender(made)
    with patch.object(batches, "MOST_REQUESTS", 2):
        assert await create(send, server, *"abcde") == [f"tasks/{letter}" for letter in "abcde"]
    assert send.calls == [["a", "b"], ["c", "d"], ["e"]]
    send.calls.clear()
    with patch.object(batches, "MOST_BYTES", 25):
        await create(send, server, "x" * 10, "y" * 10, "z" * 10, "w" * 100)
    assert [len(call) for call in send.calls] == [2, 1, 1]


async def test_nothing_is_no_call(server: Server) -> None:
    send = Sender(made)
    assert await create(send, server) == []
    assert send.calls == []
