"""What the scheduler measures of the log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfymesh.bus.tasklog import Stored
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.scheduler.domain.views import QueueOverview, Share
from comfymesh.scheduler.metering import Metering
from comfymesh.tasks import codec, events
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, ModelFile, Requirements, TaskRecord, Timing
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.exposition import Exposition
from comfymesh.telemetry.metrics import Metrics
from comfymesh.testkit.measuring import count, measured
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.tasks import NOW, after, assigned, failed, queued

MODEL = ModelFile("CheckpointLoaderSimple", "ckpt_name", "sd.safetensors")
LORA = ModelFile("LoraLoader", "lora_name", "style.safetensors")
WITH_MODEL = Requirements(models=(MODEL,))


class Log:
    """A metering that is told records, as the log has them."""

    def __init__(self, metrics: Metrics, exposition: Exposition) -> None:
        self.metrics, self.exposition = metrics, exposition
        self.now = NOW
        self.bus = MemoryBus()
        self.metering = Metering(self.bus, lambda: self.now, report_ttl=8.0, metrics=metrics)
        self.metering.acting = True
        self.sequence = 0

    def took(self, record: TaskRecord) -> TaskRecord:
        self.sequence += 1
        self.metering.took(Stored(record.key, self.sequence, codec.encode(record)))
        return record

    def story(self, record: TaskRecord, *happened: events.Event, step: float = 1.0) -> TaskRecord:
        """A task's whole way, an event a second."""
        self.took(record)
        for event in happened:
            self.now += step
            record = self.took(after(record, event, now=self.now))
        return record


@pytest.fixture
def log() -> Iterator[Log]:
    with measured("scheduler") as (metrics, exposition):
        yield Log(metrics, exposition)


def test_a_task_that_goes_well_is_measured_from_end_to_end(log: Log) -> None:
    timing = Timing(0.25, 0.5, ("sd.safetensors",))
    done = events.Succeeded((), NOW + 1.125, timing)
    log.story(queued(requirements=WITH_MODEL), assigned(), done)
    assert log.metrics.level(catalogue.TASKS_CREATED, "default") == 1
    assert log.metrics.level(catalogue.TASKS_ENDED, "default", "SUCCEEDED") == 1
    assert log.metrics.level(catalogue.ATTEMPTS, "SUCCEEDED") == 1
    assert log.metrics.level(catalogue.MODEL_LOADS, "sd.safetensors") == 1
    assert log.metrics.level(catalogue.AFFINITIES, "miss") == 1
    assert log.metrics.level(catalogue.GPU_TIME, "default") == 0.75
    for histogram in (catalogue.WAITED, catalogue.LOADED, catalogue.RAN, catalogue.STORED, catalogue.TASK_TIME):
        assert count(log.exposition, histogram) == 1
    sums = {s.name: s.value for family in log.exposition.collect() for s in family.samples if s.name.endswith("_sum")}
    assert sums["comfymesh_task_waiting_duration_seconds_sum"] == 1.0
    assert sums["comfymesh_attempt_storing_duration_seconds_sum"] == 0.125


@pytest.mark.parametrize("kind", FailureClass)
def test_a_failed_attempt_is_counted_by_its_class(log: Log, kind: FailureClass) -> None:
    log.story(queued(), assigned(), failed(kind))
    assert log.metrics.level(catalogue.ATTEMPTS, kind) == 1


@pytest.mark.parametrize(
    ("happened", "outcome", "state"),
    [
        ([assigned(), events.Released("busy")], "RELEASED", None),
        ([assigned(), events.CancelRequested(), events.Cancelled()], "CANCELLED", "CANCELLED"),
        ([assigned(), events.CancelRequested(), failed()], "CANCELLED", "CANCELLED"),
        ([events.CancelRequested()], None, "CANCELLED"),
    ],
)
def test_other_ends(log: Log, happened: list[events.Event], outcome: str | None, state: str | None) -> None:
    log.story(queued(), *happened)
    ended = {labels: n for labels, n in log.metrics.series(catalogue.ATTEMPTS).items() if n}
    assert ended == ({(outcome,): 1} if outcome else {})
    tasks = {labels: n for labels, n in log.metrics.series(catalogue.TASKS_ENDED).items() if n}
    assert tasks == ({("default", state): 1} if state else {})


def test_a_note_on_a_dead_letter_ends_no_task_again(log: Log) -> None:
    resolved = events.Resolved(events.Resolution.DROPPED)
    log.story(queued(), assigned(), failed(), resolved)
    assert log.metrics.level(catalogue.TASKS_ENDED, "default", "FAILED") == 1


def test_placements_by_reason(log: Log) -> None:
    here = Instance("x", InstanceState.READY, 2, resident=("other.safetensors",))
    log.metering.reported(Report("a", "boot", open=True, instances={"x": here}))
    with_lora = Requirements(models=(MODEL, LORA))
    log.story(queued("first", requirements=WITH_MODEL), assigned())
    log.story(queued("second", requirements=with_lora), assigned())
    log.story(
        queued("third", requirements=Requirements(models=(ModelFile("C", "c", "other.safetensors"),))), assigned()
    )
    log.story(queued("fourth"), assigned(), failed(FailureClass.INTERNAL), assigned())
    reasons = {labels[0]: n for labels, n in log.metrics.series(catalogue.PLACEMENTS).items()}
    assert reasons == {"cold": 1, "warm": 2, "no_models": 1, "retry": 1}


def test_a_standby_counts_nothing(log: Log) -> None:
    log.metering.acting = False
    log.story(queued(), assigned(), failed())
    assert not any(log.metrics.series(catalogue.ATTEMPTS).values())
    assert not any(log.metrics.series(catalogue.TASKS_CREATED).values())


async def test_how_the_queue_and_the_nodes_stand(log: Log) -> None:
    serving = Instance("x", InstanceState.READY, 2)
    log.metering.reported(Report("gone", "boot", open=True, instances={"x": serving}))
    log.now += 10
    log.metering.reported(Report("a", "boot", open=True, instances={"x": serving}, held={Key("default", "one"): 1}))
    log.metering.reported(Report("b", "boot", open=False, instances={"x": serving}))
    waits = Share(2, 1, oldest=log.now - 30)
    await log.metering.sample(QueueOverview(tenants={"acme": waits}, priorities={5: waits}), breakers=2)
    assert log.metrics.series(catalogue.QUEUE_DEPTH) == {("5",): 2}
    assert log.metrics.series(catalogue.QUEUE_AGE) == {("5",): 30}
    assert log.metrics.series(catalogue.TENANT_RUNNING) == {("acme",): 1, ("other",): 0}
    assert log.metrics.series(catalogue.NODES) == {("open",): 1, ("closed",): 1, ("silent",): 1}
    assert log.metrics.series(catalogue.SLOTS) == {("held",): 1, ("free",): 3}
    assert log.metrics.level(catalogue.BREAKERS) == 2
    assert log.metrics.level(catalogue.LEADING) == 1
    assert log.metrics.level(catalogue.LOG_LAG) == 0


async def test_an_empty_queue_has_a_depth_and_a_standby_has_no_queue(log: Log) -> None:
    log.metering.acting = False
    await log.metering.sample(QueueOverview(priorities={5: Share(2, 1, NOW)}))
    assert log.metrics.series(catalogue.QUEUE_DEPTH) == {("0",): 0}
    assert log.metrics.level(catalogue.LEADING) == 0
    assert log.metrics.series(catalogue.NODES) == log.metrics.series(catalogue.SLOTS) == {}


async def test_a_node_that_has_gone_for_good_is_forgotten(log: Log) -> None:
    for node in ("gone", "there"):
        log.metering.reported(Report(node, "1", open=True, instances={}))
    log.story(queued(requirements=WITH_MODEL), assigned("gone"))
    log.now += 86_400.0
    log.metering.reported(Report("there", "1", open=True, instances={}))
    await log.metering.sample(QueueOverview())
    assert log.metrics.level(catalogue.NODES, "silent") == 0
    assert log.metrics.level(catalogue.NODES, "open") == 1
    assert not log.metering._claimed
