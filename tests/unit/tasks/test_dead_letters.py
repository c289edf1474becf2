"""The task that a dead letter is requeued as."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from comfymesh import names
from comfymesh.tasks.dead_letters import successor, successor_key
from comfymesh.tasks.record import Key, State, TaskRecord
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued, records


def test_one_dead_letter_has_one_successor_and_two_have_two() -> None:
    keys = [Key("default", "one"), Key("default", "two"), Key("other", "one")]
    found = [successor_key(key) for key in keys]
    assert len({key.task_id for key in found}) == 3
    assert found == [successor_key(key) for key in keys]
    assert [key.tenant for key in found] == ["default", "default", "other"]
    assert all(names.is_task_id(key.task_id) for key in found)


def test_a_successor_that_fails_has_a_successor_of_its_own() -> None:
    first = successor_key(Key("default", "one"))
    assert successor_key(first) not in {first, Key("default", "one")}


@settings(max_examples=40, deadline=None)
@given(records)
def test_it_begins_anew_with_all_that_was_said_of_the_old_task(record: TaskRecord) -> None:
    new, old = successor(record, NOW, "trace"), record.definition
    assert (new.state, new.attempt, new.failures, new.error) == (State.QUEUED, 0, (), None)
    assert (new.resolution, new.requeued_as, new.artifacts) == (None, "", ())
    kept = replace(
        new.definition,
        key=old.key,
        request_digest=old.request_digest,
        spec=old.spec,
        create_time=old.create_time,
        trace_parent=old.trace_parent,
        requeued_from=old.requeued_from,
    )
    assert kept == old
    assert new.definition.spec.digest == old.spec.digest
    assert new.definition.request_digest != old.request_digest
    assert (new.definition.create_time, new.definition.requeued_from) == (NOW, old.key.task_id)


def test_its_deadline_counts_from_its_own_creation() -> None:
    dead = after(queued(start_timeout=5.0), assigned(), failed())
    assert successor(dead, NOW + 100, "").definition.start_by == NOW + 105
