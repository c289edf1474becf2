"""What is learned of attempts, whatever their records say."""

from __future__ import annotations

import math

import pytest

from comfymesh.bus.tasklog import Stored
from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.learning import learn
from comfymesh.scheduler.runs import run_of
from comfymesh.tasks import codec, events
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import TaskRecord, Timing, Work
from comfymesh.tasks.usage import MOST_SECONDS
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued


def stored(record: TaskRecord) -> Stored:
    return Stored(record.key, 1, codec.encode(record))


@pytest.mark.parametrize(("told", "learned"), [(-5.0, 0.0), (7.0, 7.0), (1e11, MOST_SECONDS)])
def test_an_agent_is_believed_within_bounds(told: float, learned: float) -> None:
    done = events.Succeeded((), NOW, Timing(told, told, ("a.pt",)))
    run, estimates = run_of(stored(after(after(queued(), assigned()), done))), Estimates()
    assert run is not None
    learn(estimates, run)
    assert estimates.load("a.pt") == learned
    assert estimates.price(["a.pt", "b.pt"]) >= 0


@pytest.mark.parametrize("units", [math.inf, math.nan, -1.0])
def test_work_may_be_of_no_size(units: float) -> None:
    message = codec.to_message(after(after(queued(), assigned()), events.Succeeded((), NOW, Timing(1.0, 2.0, ()))))
    message.work.units = units
    run, estimates = run_of(Stored(queued().key, 1, message.SerializeToString())), Estimates()
    assert run is not None
    learn(estimates, run)
    assert 0 < estimates.run((), Work("s", units), "t") < math.inf


def test_of_an_end_that_a_later_version_tells_nothing_is_learned() -> None:
    record = after(after(queued(), assigned()), failed(FailureClass.INVALID_WORKFLOW))
    message = codec.to_message(record)
    assert run_of(stored(record)) is not None
    message.failures[0].reason = 9999  # type: ignore[assignment]  # what a later version may write
    assert run_of(Stored(record.key, 1, message.SerializeToString())) is None
