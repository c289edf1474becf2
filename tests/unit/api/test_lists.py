"""Pages, their tokens, and the model that they are read from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest

from comfymesh.api import paging
from comfymesh.api.errors import RefusedError
from comfymesh.api.query import Query
from comfymesh.api.readmodel import Place, ReadModel
from comfymesh.bus.tasklog import Dropped, Stored
from comfymesh.tasks import codec
from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.record import Key, TaskRecord
from comfymesh.testkit.tasks import NOW, after, queued
from comfymesh.v1 import task_pb2, task_service_pb2
from comfymesh.wire.v1 import task_record_pb2

Request = task_service_pb2.ListTasksRequest


@pytest.fixture
def model() -> Iterator[ReadModel]:
    made = ReadModel()
    yield made
    made.close()


def put(model: ReadModel, record: TaskRecord, sequence: int) -> None:
    model.put(Stored(record.key, sequence, codec.encode(record)))


def names(model: ReadModel, query: Query | None = None, size: int = 100, place: Place | None = None) -> list[str]:
    return [stored.key.task_id for stored in model.page(query or Query("default"), size, place)[0]]


def fill(model: ReadModel, count: int) -> None:
    for n in range(count):
        put(model, queued(f"t{n}", create_time=NOW + n), n + 1)


def test_the_newest_come_first(model: ReadModel) -> None:
    fill(model, 3)
    assert names(model) == ["t2", "t1", "t0"]


def test_pages_join_without_gap_or_repetition_while_tasks_come_and_change(model: ReadModel) -> None:
    fill(model, 7)
    found, place = model.page(Query("default"), 3, None)
    put(model, queued("new", create_time=NOW + 100), 50)
    put(model, after(queued("t2", create_time=NOW + 2), CancelRequested()), 51)
    rest = names(model, place=place)
    assert [stored.key.task_id for stored in found] + rest == [f"t{n}" for n in range(6, -1, -1)]


def test_the_last_page_says_so(model: ReadModel) -> None:
    fill(model, 4)
    assert model.page(Query("default"), 4, None)[1] is None
    assert model.page(Query("default"), 3, None)[1] is not None


def test_tasks_of_the_same_moment_are_all_listed(model: ReadModel) -> None:
    for n in range(5):
        put(model, queued(f"t{n}"), n + 1)
    found, place = model.page(Query("default"), 2, None)
    assert [s.key.task_id for s in found] + names(model, place=place) == [f"t{n}" for n in range(5)]


def test_an_older_record_changes_nothing(model: ReadModel) -> None:
    put(model, after(queued(), CancelRequested()), 5)
    put(model, queued(), 4)
    ((stored,), _) = model.page(Query("default"), 1, None)
    assert (stored.sequence, stored.task.state) == (5, task_pb2.Task.STATE_CANCELLED)


def parts(record: TaskRecord) -> bytes:
    """A record as another writer may put it down: the task in two parts, which a reader puts together."""
    whole = task_record_pb2.TaskRecord.FromString(codec.encode(record))
    labels, rest = task_record_pb2.TaskRecord(), task_record_pb2.TaskRecord()
    rest.CopyFrom(whole)
    rest.task.ClearField("labels")
    labels.task.labels.update(whole.task.labels)
    return rest.SerializeToString() + labels.SerializeToString()


def test_a_page_of_data_has_what_a_page_has_however_records_were_written(model: ReadModel) -> None:
    fill(model, 5)
    labelled = queued("t5", create_time=NOW + 5, labels={"shop": "north"})
    model.put(Stored(labelled.key, 6, parts(labelled)))
    put(model, after(queued("t1", create_time=NOW + 1), CancelRequested()), 7)
    found, place = model.page(Query("default"), 5, None)
    assert model.page_of_data(Query("default"), 5, None) == ([stored.task_data for stored in found], place)
    assert found[0].data.find(found[0].task_data) == -1
    assert found[0].task.labels == {"shop": "north"}


def test_a_tenant_sees_only_its_own(model: ReadModel) -> None:
    fill(model, 2)
    put(model, _of("other"), 9)
    assert names(model) == ["t1", "t0"]
    assert names(model, Query("other")) == ["theirs"]


def _of(tenant: str) -> TaskRecord:
    record = queued()
    return replace(record, definition=replace(record.definition, key=Key(tenant, "theirs")))


def test_labels_match_exactly_and_all_of_them(model: ReadModel) -> None:
    put(model, queued("both", labels={"a": "1", "b.c/d-e": '"x"\'); --'}), 1)
    put(model, queued("one", labels={"a": "1"}), 2)
    assert names(model, Query("default", labels={"a": "1", "b.c/d-e": '"x"\'); --'})) == ["both"]
    assert sorted(names(model, Query("default", labels={"a": "1"}))) == ["both", "one"]
    assert names(model, Query("default", labels={"a": "%"})) == []


def test_labels_leave_with_their_task(model: ReadModel) -> None:
    labelled = Query("default", labels={"a": "1"})
    gone = queued("gone", labels={"a": "1"})
    put(model, gone, 1)
    assert names(model, labelled) == ["gone"]
    model.drop(Dropped(gone.key, 2))
    put(model, queued("plain"), 2)
    assert names(model, labelled) == []


def test_labels_of_a_task_that_is_gone_can_be_those_of_the_next(model: ReadModel) -> None:
    labelled = Query("default", labels={"a": "1"})
    for sequence, task_id in enumerate(["one", "two", "one"], start=1):
        record = queued(task_id, labels={"a": "1"})
        put(model, record, sequence)
        assert names(model, labelled) == [task_id]
        model.drop(Dropped(record.key, sequence))
    assert names(model, labelled) == []


def test_a_call_that_fails_spoils_no_later_one(model: ReadModel) -> None:
    fill(model, 2)
    with patch.object(model, "_insert", side_effect=sqlite3.Error("disk")), pytest.raises(sqlite3.Error):
        names(model)
    assert names(model) == ["t1", "t0"]


def test_the_place_in_the_queue_counts_who_is_before(model: ReadModel) -> None:
    records = [
        queued("old", create_time=NOW),
        queued("high", priority=1, create_time=NOW + 5),
        queued("mine", create_time=NOW + 3),
    ]
    for number, record in enumerate(records):
        put(model, record, number + 1)
    assert [model.ahead(codec.to_message(record).task) for record in records] == [1, 0, 2]
    put(model, after(records[1], CancelRequested()), 9)
    assert model.ahead(codec.to_message(records[2]).task) == 1


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (1000, 1000), (2**31 - 1, 1000)])
def test_page_sizes_are_coerced(asked: int, given: int) -> None:
    assert paging.size(asked) == given


def test_a_token_serves_the_request_that_it_was_made_for() -> None:
    token = paging.make_token(Request(labels={"a": "b"}, page_size=3), [1.5, "one"])
    assert paging.read_token(Request(labels={"a": "b"}, page_size=9), token, float, str) == [1.5, "one"]


@pytest.mark.parametrize("other", [Request(labels={"a": "c"}), Request(labels={"a": "b"}, states=[1])])
def test_a_token_serves_no_other_request(other: Request) -> None:
    token = paging.make_token(Request(labels={"a": "b"}), [1.5, "one"])
    with pytest.raises(RefusedError, match="PAGE_TOKEN_INVALID"):
        paging.read_token(other, token, float, str)


@pytest.mark.parametrize("place", [[1.5], ["one", 1.5], [1, "one"], [True, "one"], [None, "one"], [1.5, "one", 2]])
def test_a_place_of_another_shape_is_refused(place: list[str | float]) -> None:
    token = paging.make_token(Request(), place)
    with pytest.raises(RefusedError, match="PAGE_TOKEN_INVALID"):
        paging.read_token(Request(), token, float, str)
