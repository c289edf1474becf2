"""What is kept of a task fits into the database, whatever a node has written."""

from __future__ import annotations

import math

import pytest

from comfymesh.api.readmodel import ReadModel
from comfymesh.bus.tasklog import Stored
from comfymesh.tasks import codec, events
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.usage import MOST_SECONDS
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued

MOST = 2**63 - 1


@pytest.mark.parametrize(("told", "charged"), [(math.nan, 0.0), (-1e300, 0.0), (math.inf, MOST_SECONDS)])
def test_no_failure_takes_more_than_time(told: float, charged: float) -> None:
    record = after(after(queued(), assigned()), failed(FailureClass.INVALID_WORKFLOW))
    message = codec.to_message(record)
    message.failures[0].busy_seconds = told
    model = ReadModel()
    model.put(Stored(record.key, 1, message.SerializeToString()))
    assert model.gpu_seconds(record.key.tenant, 0.0) == charged


@pytest.mark.parametrize(("told", "kept"), [((MOST, MOST), MOST), ((-MOST, -MOST), 0), ((3, 4), 7)])
def test_no_outputs_have_more_bytes_than_can_be_counted(told: tuple[int, ...], kept: int) -> None:
    record = after(after(queued(), assigned()), events.Succeeded((), NOW, None))
    message = codec.to_message(record)
    for size in told:
        message.task.artifacts.add(size_bytes=size)
    model = ReadModel()
    model.put(Stored(record.key, 1, message.SerializeToString()))
    assert model.artifact_bytes(record.key.tenant) == pytest.approx(kept)
