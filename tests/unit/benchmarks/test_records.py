from __future__ import annotations

from benchmarks import records

from comfymesh.bus import subjects
from comfymesh.bus.port import Message
from comfymesh.bus.records import read
from comfymesh.tasks import codec
from comfymesh.tasks.record import State

NOW = 1_700_000_000.0


def test_a_log_has_the_ends_first_and_each_task_once() -> None:
    made = list(records.log(2, 3, NOW))
    assert [codec.decode(data).state for _, data in made] == [State.SUCCEEDED] * 3 + [State.QUEUED] * 2
    assert len({key for key, _ in made}) == 5


def test_every_record_of_a_log_can_be_read_as_that_of_its_task() -> None:
    for sequence, (key, data) in enumerate(records.log(2, 2, NOW), start=1):
        stored = read(Message(subjects.task(key), data, sequence))
        assert stored.record.key == key
        assert all(artifact.name.startswith(stored.task.name) for artifact in stored.task.artifacts)


def test_a_task_that_runs_does_so_on_the_node_that_was_named() -> None:
    record = records.running(7, NOW, "nowhere")
    assert (record.key, record.state, record.node, record.attempt) == (records.key(7), State.RUNNING, "nowhere", 1)
