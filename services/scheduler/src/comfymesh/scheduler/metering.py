"""Measures what the log and the reports tell. Only the scheduler that acts tells it, so that it is counted once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from comfymesh import names
from comfymesh.bus import streams
from comfymesh.bus.checkpoints import LogEvent
from comfymesh.bus.lag import Lag
from comfymesh.bus.port import Bus, BusError
from comfymesh.bus.tasklog import Stored
from comfymesh.scheduler.domain.fleet import Report
from comfymesh.scheduler.domain.views import QueueOverview, Share
from comfymesh.tasks import usage
from comfymesh.tasks.codec import ending_of
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.record import ModelFile
from comfymesh.tasks.usage import is_patched_in
from comfymesh.telemetry import catalogue, tracing
from comfymesh.telemetry.metrics import METRICS, Labels, Metrics
from comfymesh.telemetry.tracing import Context
from comfymesh.v1 import task_pb2
from comfymesh.wire.v1 import task_record_pb2

_Shares = Mapping[Labels, Share]
_NOTHING = frozenset[str]()
_FORGOTTEN = 86_400.0
"""A node that has been silent for so long, in seconds, has been taken away: it is not counted any more."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a node said last, and when, seconds since the epoch."""

    report: Report
    time: float


class Metering:
    """Measures for one scheduler.

    Args:
        bus: Where streams are.
        clock: Answers seconds since the epoch.
        report_ttl: After so many seconds a node is silent.
        start: Up to where an earlier life has read the log.
        metrics: Where it is told.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Callable[[], float],
        report_ttl: float = streams.REPORT_TTL.total_seconds(),
        start: int = 0,
        metrics: Metrics = METRICS,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._report_ttl = report_ttl
        self._metrics = metrics
        self._lag = Lag(bus, start)
        self._nodes: dict[str, _Seen] = {}
        self._claimed: dict[tuple[str, str], frozenset[str]] = {}
        self.acting = False

    @property
    def enabled(self) -> bool:
        """Whether anybody wants to know."""
        return self._metrics.enabled

    def decided(self) -> None:
        """A decision is carried out."""
        self._metrics.add(catalogue.DECISIONS, 1)

    def reported(self, report: Report) -> None:
        """A node reports."""
        if self.enabled:
            self._nodes[names.node(report.node)] = _Seen(report, self._clock())

    def took(self, event: LogEvent) -> None:
        """Something happened in the log."""
        if not self.enabled:
            return
        self._lag.took(event.sequence)
        if self.acting and isinstance(event, Stored):
            self._tell(event)

    async def sample(self, overview: QueueOverview, breakers: int = 0) -> None:
        """Tell how things stand: the queue, and how many instances' breakers are open."""
        now = self._clock()
        self._metrics.set(catalogue.LEADING, {(): float(self.acting)})
        self._sample_queue(overview if self.acting else QueueOverview(), now)
        self._sample_nodes(now)
        self._metrics.set(catalogue.BREAKERS, {(): float(breakers)} if self.acting else {})
        try:
            self._metrics.set(catalogue.LOG_LAG, {(): await self._lag.measure()})
            await self._sample_streams()
        except BusError:
            return  # How the bus is, others tell; what was known of it last stands.

    # What happened

    def _tell(self, stored: Stored) -> None:
        event, tenant = stored.message.event, stored.key.tenant
        if event == "Created":
            self._metrics.add(catalogue.TASKS_CREATED, 1, tenant)
            return
        context = tracing.parent(stored.message.trace_parent)
        if event == "Assigned":
            self._claim(stored.message, context)
        elif (used := _used(stored)) is not None:
            self._end_attempt(stored.message, used, context)
        if stored.is_final and event != "Resolved":
            self._end_task(stored.task, tenant, context)

    def _end_task(self, task: task_pb2.Task, tenant: str, context: Context | None) -> None:
        state = task_pb2.Task.State.Name(task.state).removeprefix("STATE_")
        self._metrics.add(catalogue.TASKS_ENDED, 1, tenant, state)
        took = seconds(task.end_time) - seconds(task.create_time)
        self._metrics.record(catalogue.TASK_TIME, took, state, context=context)

    def _claim(self, message: task_record_pb2.TaskRecord, context: Context | None) -> None:
        task = message.task
        self._metrics.add(catalogue.PLACEMENTS, 1, self._why(message))
        if task.attempt == 1:
            waited = seconds(task.update_time) - seconds(task.create_time)
            self._metrics.record(catalogue.WAITED, waited, context=context)

    def _why(self, message: task_record_pb2.TaskRecord) -> str:
        """Why a task went where it was claimed. What an attempt before it loads there counts as loaded."""
        task = message.task
        place, models = (task.node, task.instance), _models(message)
        there = self._resident(*place) | self._claimed.get(place, _NOTHING)
        self._claimed[place] = models
        if task.attempt > 1:
            return "retry"
        if not models:
            return "no_models"
        return "warm" if models <= there else "cold"

    def _resident(self, node: str, name: str) -> frozenset[str]:
        seen = self._nodes.get(node)
        instance = seen.report.instances.get(name) if seen else None
        return frozenset(instance.resident) if instance else _NOTHING

    def _end_attempt(
        self, message: task_record_pb2.TaskRecord, used: usage.AttemptUsage, context: Context | None
    ) -> None:
        task = message.task
        self._metrics.add(catalogue.ATTEMPTS, 1, used.outcome)
        self._metrics.add(catalogue.GPU_TIME, used.seconds, message.tenant)
        if used.outcome not in {usage.RELEASED, usage.CANCELLED} and task.HasField("timing"):
            self._time(message, used, context)
        if used.outcome == usage.SUCCEEDED:
            size = sum(artifact.size_bytes for artifact in task.artifacts)
            self._metrics.add(catalogue.ARTIFACT_BYTES, size)

    def _time(self, message: task_record_pb2.TaskRecord, used: usage.AttemptUsage, context: Context | None) -> None:
        """Where the time of an attempt went."""
        task, loaded = message.task, message.task.timing.loaded_models
        self._metrics.record(catalogue.RAN, used.run_seconds, context=context)
        if task.HasField("end_time") and task.HasField("start_time"):
            stored = seconds(task.end_time) - seconds(task.start_time) - used.seconds
            self._metrics.record(catalogue.STORED, stored, context=context)
        if loaded:
            self._metrics.record(catalogue.LOADED, used.load_seconds, context=context)
        for model in loaded:
            self._metrics.add(catalogue.MODEL_LOADS, 1, model)
        found = "miss" if loaded else "hit"
        self._metrics.add(catalogue.AFFINITIES, 1, found if message.requirements.models else "none")

    # How things stand

    def _sample_queue(self, overview: QueueOverview, now: float) -> None:
        by_priority: _Shares = {(str(number),): share for number, share in overview.priorities.items()}
        by_priority = by_priority or {("0",): Share()}
        # Who has created some lately has a level, if only that of 0.
        by_tenant: _Shares = dict.fromkeys(self._metrics.series(catalogue.TASKS_CREATED), Share())
        by_tenant = {**by_tenant, **{(tenant,): share for tenant, share in overview.tenants.items()}}
        self._metrics.set(catalogue.QUEUE_DEPTH, {which: share.waiting for which, share in by_priority.items()})
        self._metrics.set(catalogue.QUEUE_AGE, _ages(by_priority, now))
        self._metrics.set(catalogue.TENANT_WAITING, {which: share.waiting for which, share in by_tenant.items()})
        self._metrics.set(catalogue.TENANT_RUNNING, {which: share.running for which, share in by_tenant.items()})
        self._metrics.set(catalogue.TENANT_AGE, _ages(by_tenant, now))

    def _sample_nodes(self, now: float) -> None:
        if not self.acting:
            self._metrics.set(catalogue.NODES, {})
            self._metrics.set(catalogue.SLOTS, {})
            return
        self._forget(now)
        states: dict[Labels, float] = {("open",): 0, ("closed",): 0, ("silent",): 0}
        held = slots = 0
        for seen in self._nodes.values():
            silent = now - seen.time >= self._report_ttl
            states[("silent" if silent else "open" if seen.report.open else "closed",)] += 1
            if not silent:
                slots += sum(instance.slots for instance in seen.report.instances.values() if instance.serving)
                held += len(seen.report.held)
        self._metrics.set(catalogue.NODES, states)
        self._metrics.set(catalogue.SLOTS, {("held",): held, ("free",): max(slots - held, 0)})

    def _forget(self, now: float) -> None:
        """Nodes that have gone, and what was claimed for instances of nodes that are not known."""
        self._nodes = {node: seen for node, seen in self._nodes.items() if now - seen.time < _FORGOTTEN}
        self._claimed = {place: models for place, models in self._claimed.items() if place[0] in self._nodes}

    async def _sample_streams(self) -> None:
        if not self.acting:
            self._metrics.set(catalogue.STREAM_MESSAGES, {})
            self._metrics.set(catalogue.STREAM_BYTES, {})
            return
        states = {(stream.name,): await self._bus.state(stream) for stream in streams.ALL}
        self._metrics.set(catalogue.STREAM_MESSAGES, {name: state.messages for name, state in states.items()})
        self._metrics.set(catalogue.STREAM_BYTES, {name: state.size for name, state in states.items()})


def _used(stored: Stored) -> usage.AttemptUsage | None:
    """What the attempt took that a record has ended; None where it ended none, or a later version tells how."""
    if stored.message.event not in usage.ENDS:
        return None
    try:
        return usage.of_record(ending_of(stored.message))
    except (LookupError, ValueError):
        return None


def _ages(shares: _Shares, now: float) -> dict[Labels, float]:
    return {which: max(now - share.oldest, 0.0) if share.oldest else 0.0 for which, share in shares.items()}


def _models(message: task_record_pb2.TaskRecord) -> frozenset[str]:
    """Model files that a task needs in memory, without those that are patched in for each task."""
    files = (ModelFile(model.node_class, model.input, model.name) for model in message.requirements.models)
    return frozenset(file.name for file in files if not is_patched_in(file))
