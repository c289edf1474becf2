"""What a decision costs, and what a waiting task takes, as the queue grows: the core alone, without a bus."""

from __future__ import annotations

import gc
import multiprocessing
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import events
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Decision, OfferWork, ReadRecord
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.tasks import machine
from comfymesh.tasks.events import Assigned
from comfymesh.tasks.record import Definition, Key, ModelFile, Requirements, SpecRef, TaskRecord, Timing, Work

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NODES, GPUS_EACH, TENANTS, MODEL_SETS = 2_000, 8, 10_000, 200
FLEET = f"{NODES:,} x {GPUS_EACH} GPUs, {TENANTS:,} tenants, {MODEL_SETS} model sets"
_CATALOG = "all"
_LOADER = ("CheckpointLoaderSimple", "ckpt_name")


@dataclass(frozen=True, slots=True)
class Size:
    """What a queue of one length costs.

    Attributes:
        waiting: Tasks that wait.
        p50_us: CPU microseconds from the end of a task to the offer of the next, median.
        p99_us: The same, 99th percentile.
        arrival_us: CPU microseconds to take in a task, mean.
        bytes_each: Memory that a waiting task takes.
    """

    waiting: int
    p50_us: float
    p99_us: float
    arrival_us: float
    bytes_each: float


@dataclass(frozen=True, slots=True)
class Queue:
    """Costs by length."""

    sizes: Sequence[Size]

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        return [(f"decision with {size.waiting:,} waiting ({FLEET})", _words(size)) for size in self.sizes]


def _words(size: Size) -> str:
    return (
        f"p50 {size.p50_us:.0f} us, p99 {size.p99_us:.0f} us; arrival {size.arrival_us:.0f} us; "
        f"{size.bytes_each:.0f} bytes a task"
    )


def measure(longest: int, decisions: int) -> Queue:
    """Measures queues up to `longest`, each in a process of its own so that memory tells."""
    context = multiprocessing.get_context("spawn")
    sizes = []
    for waiting in (size for size in SIZES if size <= longest):
        with context.Pool(1) as pool:
            sizes.append(pool.apply(measure_one, (waiting, decisions)))
    return Queue(sizes)


def measure_one(waiting: int, decisions: int) -> Size:
    """Measures a queue of one length."""
    fleet = _Fleet()
    gc.collect()
    before, began = _resident_bytes(), time.process_time()
    for _ in range(waiting):
        fleet.arrive()
    arrival = (time.process_time() - began) / waiting
    gc.collect()
    each = (_resident_bytes() - before) / waiting
    gc.freeze()
    costs = sorted(fleet.end_one() for _ in range(decisions))
    return Size(waiting, 1e6 * costs[decisions // 2], 1e6 * costs[decisions * 99 // 100], 1e6 * arrival, each)


class _Fleet:
    """A fleet that is busy, its log, and a core that serves it."""

    def __init__(self) -> None:
        self._chance = random.Random(1)  # noqa: S311  # not for secrets
        self._core = Core(report_ttl=1e9, resend_after=1e9)
        self._now = 1_700_000_000.0
        self._sequence = 0
        self._running: list[tuple[TaskRecord, Place]] = []
        self._handle(events.CatalogRead(_CATALOG, _catalog()))
        self._handle(events.LogRead())
        for node in range(NODES):
            self._handle(events.NodeReported(_report(node)))
        for _ in range(NODES * GPUS_EACH):
            self.arrive()

    def arrive(self) -> None:
        """A task is created. Popular models are much more so, and so are tenants."""
        self._now += 0.001
        chosen = int(MODEL_SETS * self._chance.random() ** 3)
        tenant = int(TENANTS * self._chance.random() ** 2)
        self._sequence += 1
        definition = Definition(
            key=Key(f"tenant-{tenant:05}", f"{self._sequence:036x}"),
            request_digest="",
            spec=SpecRef("", 0),
            requirements=Requirements(models=(ModelFile(*_LOADER, f"model-{chosen:03}"),)),
            create_time=self._now,
            work=Work(f"shape-{chosen:03}-{self._chance.randrange(3)}", self._chance.choice([10.0, 30.0, 120.0])),
        )
        self._handle(events.TaskChanged(machine.create(definition), self._sequence))

    def end_one(self) -> float:
        """A task ends. Answers the CPU seconds until its slot was offered again."""
        self._now += 0.002
        number = self._chance.randrange(len(self._running))
        self._running[number], self._running[-1] = self._running[-1], self._running[number]
        record, place = self._running.pop()
        work = record.definition.work
        models = tuple(model.name for model in record.definition.requirements.models)
        timing = Timing(0.0, work.units * 0.7 * self._chance.uniform(0.7, 1.3))
        self._sequence += 1
        began = time.thread_time()
        run = events.Run(record.key, work.shape, work.units, models, place, timing, succeeded=True)
        self._core.handle(events.TaskRan(run), self._now)
        decided = self._core.handle(events.TaskEnded(record.key, self._sequence), self._now)
        took = time.thread_time() - began
        self._carry_out(decided)
        return took

    def _handle(self, event: events.Event) -> None:
        self._carry_out(self._core.handle(event, self._now))

    def _carry_out(self, decided: Sequence[Decision]) -> None:
        for decision in decided:
            if isinstance(decision, ReadRecord):
                self._handle(events.RecordRead(self._again(decision.key), decision.sequence))
            elif isinstance(decision, OfferWork):
                place = decision.place
                record = machine.apply(decision.record, Assigned(place.node, place.instance), self._now)
                self._running.append((record, place))
                self._sequence += 1
                self._handle(events.TaskChanged(record, self._sequence))

    def _again(self, key: Key) -> TaskRecord:
        """The log would have the record; a benchmark of memory must not, so it makes one like it."""
        waiting = self._core._tasks[key]  # noqa: SLF001
        assert not isinstance(waiting, events.TaskChanged)
        definition = Definition(
            key=key,
            request_digest="",
            spec=SpecRef("", 0),
            requirements=waiting.group.requirements,
            create_time=waiting.created,
            work=Work("shape", 30.0),
        )
        return machine.create(definition)


def _report(node: int) -> Report:
    instances = (
        Instance(f"gpu-{gpu}", InstanceState.READY, 1, _CATALOG, (f"model-{_popular(node * GPUS_EACH + gpu):03}",))
        for gpu in range(GPUS_EACH)
    )
    return Report(f"node-{node:04}", "1", open=True, instances={instance.name: instance for instance in instances})


def _popular(number: int) -> int:
    return int(MODEL_SETS * (number / (NODES * GPUS_EACH)) ** 3)


def _catalog() -> Catalog:
    node_class, name = _LOADER
    options = [f"model-{number:03}" for number in range(MODEL_SETS)]
    return Catalog.from_object_info(
        {node_class: {"input": {"required": {name: [[*options], {}]}}, "output": ["MODEL"], "output_node": False}}
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
