"""Responses that are put together from encoded parts say what the same message would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.api import bookmark
from comfymesh.api.bookmark import Bookmark
from comfymesh.api.encoded import Telling, TellingMany, part
from comfymesh.api.watching import Heartbeat
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Stored
from comfymesh.tasks import codec
from comfymesh.testkit.tasks import queued
from comfymesh.v1 import task_pb2, task_service_pb2
from comfymesh.v1.task_service_pb2 import ListTasksResponse, PassedChange, WatchTaskResponse, WatchTasksResponse

WATCHED = Telling(
    WatchTaskResponse,
    {Stored: "task", task_pb2.TaskProgress: "progress", task_pb2.Preview: "preview", Heartbeat: "heartbeat"},
)
CHANGED = TellingMany(WatchTasksResponse, {Stored: "task", CaughtUp: "caught_up", Heartbeat: "heartbeat"})


def stored(number: int) -> Stored:
    record = queued(f"task-{number}", labels={"number": str(number)})
    return Stored(record.key, number + 1, codec.encode(record))


@given(st.text(), st.integers(0, 2**31 - 1), st.floats(0, 1), st.text())
def test_progress(token: str, attempt: int, fraction: float, node_class: str) -> None:
    progress = task_pb2.TaskProgress(attempt=attempt, fraction=fraction, graph_node_class=node_class)
    told = WatchTaskResponse.FromString(WATCHED.tell(token, progress))
    assert told == WatchTaskResponse(resume_token=token, progress=progress)


@given(st.binary(max_size=70_000))
def test_parts_of_any_size(data: bytes) -> None:
    preview = task_pb2.Preview(attempt=1, data=data)
    told = WatchTaskResponse.FromString(WATCHED.tell("here", preview))
    assert told == WatchTaskResponse(resume_token="here", preview=preview)


@given(st.integers(0, 5))
def test_changes_that_are_told_together(count: int) -> None:
    *before, (place, last) = [(Bookmark(number + 1), stored(number)) for number in range(count + 1)]
    passed = [PassedChange(resume_token=bookmark.make_token(at), task=each.task) for at, each in before]
    told = WatchTasksResponse.FromString(CHANGED.tell_together(place, last, before))
    assert told == WatchTasksResponse(resume_token=bookmark.make_token(place), task=last.task, passed=passed)


@pytest.mark.parametrize(
    ("event", "field"),
    [(CaughtUp(), {"caught_up": task_service_pb2.CaughtUp()}), (Heartbeat(), {"heartbeat": task_pb2.Heartbeat()})],
)
def test_events_without_content(event: object, field: dict[str, object]) -> None:
    told = WatchTasksResponse.FromString(CHANGED.tell("here", event))
    assert told == WatchTasksResponse(resume_token="here", **field)


def test_fields_that_repeat_are_told_one_behind_the_other() -> None:
    one = part(ListTasksResponse, "tasks")
    found = [stored(number) for number in range(3)]
    listed = ListTasksResponse.FromString(b"".join(one(each.task_data) for each in found))
    assert listed == ListTasksResponse(tasks=[each.task for each in found])
