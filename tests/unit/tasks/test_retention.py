"""What may be dropped, and what never."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from comfymesh.tasks.events import CancelRequested, Resolved
from comfymesh.tasks.record import Resolution, TaskRecord
from comfymesh.tasks.retention import Retention
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued, records

DAY = 86400.0


def test_a_task_is_kept_for_the_whole_time_after_its_end() -> None:
    ended = after(queued(), CancelRequested(), now=NOW)
    assert not Retention(DAY).is_over(ended, NOW + DAY - 1)
    assert Retention(DAY).is_over(ended, NOW + DAY)


def test_the_resolution_of_a_dead_letter_does_not_prolong_its_time() -> None:
    dead = after(queued(), assigned(), failed(), now=NOW)
    resolved = after(dead, Resolved(Resolution.DROPPED), now=NOW + DAY)
    assert not Retention(DAY).is_over(resolved, NOW + DAY - 1)
    assert Retention(DAY).is_over(resolved, NOW + DAY)


@given(records, st.floats(0, 1e12))
def test_a_task_that_has_not_ended_is_kept_however_old_it_is(record: TaskRecord, now: float) -> None:
    assume(not record.is_final)
    assert not Retention(0).is_over(record, now)
