"""Pages of a list: whole, in order and without repetition, whatever comes and changes while somebody leafs through."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.api.query import Query
from comfymesh.api.readmodel import Place, ReadModel
from comfymesh.bus.tasklog import Stored
from comfymesh.tasks import codec, events
from comfymesh.tasks.record import TaskRecord
from comfymesh.testkit import tasks
from comfymesh.testkit.tasks import NOW

QUERIES = [
    Query("default"),
    Query("default", group="groups/odd"),
    Query("default", labels={"parity": "even"}),
    Query("default", graph_digest=tasks.DIGEST),
    Query("default", created_after=NOW + 1, created_before=NOW + 3),
]
LIFE = [tasks.assigned(), events.Started(), events.Succeeded(())]


class Mesh:
    """Tasks that come and change."""

    def __init__(self) -> None:
        self.model = ReadModel()
        self.records: list[TaskRecord] = []
        self.sequence = 0

    def create(self, created: float) -> None:
        number = len(self.records)
        fields: dict[str, Any] = {"group": "odd"} if number % 2 else {"labels": {"parity": "even"}}
        self.records.append(tasks.queued(f"t{number}", create_time=created, **fields))
        self._put(self.records[-1])

    def change(self, chosen: int) -> None:
        if self.records:
            index = chosen % len(self.records)
            step = ["QUEUED", "ASSIGNED", "RUNNING", "SUCCEEDED"].index(self.records[index].state)
            if step < len(LIFE):
                self.records[index] = tasks.after(self.records[index], LIFE[step])
                self._put(self.records[index])

    def _put(self, record: TaskRecord) -> None:
        self.sequence += 1
        self.model.put(Stored(record.key, self.sequence, codec.encode(record)))


def chosen(query: Query, records: list[TaskRecord]) -> list[str]:
    """What a list must show, in its order."""
    found = [
        record
        for record in records
        if query.matches(Stored(record.key, 1, codec.encode(record)))
        and (query.created_after is None or record.definition.create_time >= query.created_after)
        and (query.created_before is None or record.definition.create_time < query.created_before)
    ]
    found.sort(key=lambda record: (-record.definition.create_time, record.key.task_id))
    return [record.key.task_id for record in found]


@settings(max_examples=200, deadline=None)
@given(
    query=st.sampled_from(QUERIES),
    times=st.lists(st.integers(0, 4), max_size=12),
    size=st.integers(1, 5),
    meanwhile=st.lists(st.one_of(st.just(-1), st.integers(0, 20)), max_size=30),
)
def test_who_leafs_through_sees_everything_that_was_there_once_and_in_order(
    query: Query, times: list[int], size: int, meanwhile: list[int]
) -> None:
    mesh = Mesh()
    for time in times:
        mesh.create(NOW + time)
    expected = chosen(query, mesh.records)
    seen, place = list[str](), None
    while True:
        found, place = mesh.model.page(query, size, place)
        seen += [stored.key.task_id for stored in found]
        if place is None:
            break
        for number in meanwhile[:3]:
            if number < 0:
                mesh.create(NOW + 5)
            else:
                mesh.change(number)
        del meanwhile[:3]
    mesh.model.close()
    assert seen == expected


def test_the_place_of_a_page_says_where_it_ended() -> None:
    mesh = Mesh()
    for time in (1, 2, 3):
        mesh.create(NOW + time)
    assert mesh.model.page(Query("default"), 2, None)[1] == Place(NOW + 2, "t1")
    mesh.model.close()
