"""Cells side by side, and the loss of one: each runs the core that the scheduler's process runs, at its full size.

A cell is a mesh of its own: log, scheduler, nodes. Beside the cells stands a router: it gives a new task to the cell
with the shortest queue among those that answer. There is no such router in the product (ADR 54); here it is a model of
what whoever creates tasks would do.

A lost cell answers nobody and executes nothing. Its log is on its disks: when it is back, what waited goes on waiting,
and what was executed there has failed by INSTANCE_LOST and is tried again.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Sequence

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import events
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Change, Decision, OfferWork, ReadRecord
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.simulate.cells_plan import Outcome, Plan, Sample
from comfymesh.tasks import machine
from comfymesh.tasks.events import Assigned, AttemptFailed, Started, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import (
    Definition,
    Key,
    ModelFile,
    Requirements,
    SpecRef,
    TaskError,
    TaskRecord,
    Timing,
    Work,
)

_CATALOG = "simulated"
_LOADER = ("CheckpointLoaderSimple", "ckpt_name")
_NEVER = 1e12
_TICK_SECONDS = 1.0
_BUSY_AT_ONCE = 0.98


class Cell:
    """One cell: its log, its nodes, and the core of its scheduler.

    Args:
        number: Which.
        plan: What is simulated.
        rng: Draws how long tasks run.
    """

    def __init__(self, number: int, plan: Plan, rng: random.Random) -> None:
        self.number = number
        self.up = True
        self.done = 0
        self.held: dict[Key, tuple[TaskRecord, Place]] = {}
        self.waiting: dict[Key, TaskRecord] = {}
        self._plan = plan
        self._rng = rng
        self._core = Core(report_ttl=_NEVER, resend_after=_NEVER)
        self._resident: dict[Place, str] = {}
        self._sequence = 0
        self._begun: list[tuple[float, Key, int]] = []
        self._handle(events.CatalogRead(_CATALOG, _catalog(plan.models)), 0.0)
        self._handle(events.LogRead(), 0.0)
        for node in range(plan.nodes):
            for instance in range(plan.instances):
                self._resident[Place(f"node-{node:05}", f"gpu-{instance}")] = _popular(plan, rng)
            self.report(node, 0.0)

    def create(self, record: TaskRecord, now: float) -> None:
        """The log has a new task."""
        self._store(record, now)

    def report(self, node: int, now: float) -> None:
        """A node reports."""
        name = f"node-{node:05}"
        instances = {}
        for number in range(self._plan.instances):
            place = Place(name, f"gpu-{number}")
            resident = (self._resident[place],)
            instances[place.instance] = Instance(place.instance, InstanceState.READY, 1, _CATALOG, resident)
        self._handle(events.NodeReported(Report(name, "1", open=True, instances=instances)), now)

    def tick(self, now: float) -> None:
        """Time passes."""
        self._handle(events.Tick(), now)

    def end(self, key: Key, attempt: int, now: float) -> TaskRecord | None:
        """An attempt comes to its end, if it is still the task's; answers the last record."""
        record, place = self.held.get(key, (None, None))
        if record is None or place is None or record.attempt != attempt or not self.up:
            return None
        del self.held[key]
        work, timing = record.definition.work, Timing(0.0, now - (record.start_time or now))
        models = tuple(model.name for model in record.definition.requirements.models)
        run = events.Run(key, work.shape, work.units, models, place, timing, succeeded=True, time=now)
        self._handle(events.TaskRan(run), now)
        self._sequence += 1
        self._handle(events.TaskEnded(key, self._sequence), now)
        self.done += 1
        return machine.apply(record, Succeeded((), timing=timing), now)

    def lose(self) -> None:
        """Everything stands still."""
        self.up = False

    def return_(self, now: float) -> None:
        """The cell is back with its log. Instances have forgotten what they executed."""
        self.up = True
        error = TaskError(FailureClass.INSTANCE_LOST, "the cell was lost")
        held, self.held = self.held, {}
        for record, _ in held.values():
            self._store(machine.apply(record, AttemptFailed(error), now), now)

    def begun(self) -> Iterator[tuple[float, Key, int]]:
        """Attempts that have begun since the last time: when they will end, of which task, which one."""
        begun, self._begun = self._begun, []
        return iter(begun)

    def _store(self, record: TaskRecord, now: float) -> None:
        self.waiting[record.key] = record
        self._sequence += 1
        self._handle(events.TaskChanged(record, self._sequence), now)

    def _handle(self, event: events.Event, now: float) -> None:
        for decision in self._core.handle(event, now):
            self._carry_out(decision, now)

    def _carry_out(self, decision: Decision, now: float) -> None:
        match decision:
            case ReadRecord():
                self._handle(events.RecordRead(self.waiting[decision.key], decision.sequence), now)
            case OfferWork():
                self._begin(decision, now)
            case Change():
                raise AssertionError(f"nothing is to be given up here: {decision}")
            case _:
                pass

    def _begin(self, offer: OfferWork, now: float) -> None:
        """The node claims it, and begins at once."""
        place = offer.place
        record = machine.apply(offer.record, Assigned(place.node, place.instance), now)
        record = machine.apply(record, Started(now), now)
        del self.waiting[record.key]
        self.held[record.key] = record, place
        (model,) = record.definition.requirements.models
        load = 0.0 if self._resident[place] == model.name else self._plan.load
        self._resident[place] = model.name
        run = self._rng.lognormvariate(-0.125, 0.5) * record.definition.work.units
        self._begun.append((now + load + run, record.key, record.attempt))
        self._sequence += 1
        self._handle(events.TaskChanged(record, self._sequence), now)


def simulate(plan: Plan, watch: Callable[[str], object] | None = None) -> Outcome:
    """What becomes of a plan. `watch` is called before each thing that happens, with its kind."""
    return _World(plan, watch or (lambda _: None)).run()


class _World:
    def __init__(self, plan: Plan, watch: Callable[[str], object]) -> None:
        self._plan = plan
        self._watch = watch
        self._rng = random.Random(plan.seed)  # noqa: S311  # not for secrets
        self._cells = [Cell(number, plan, self._rng) for number in range(plan.cells)]
        self._agenda: list[tuple[float, int, str, tuple[object, ...]]] = []
        self._count = 0
        self._known = set(range(plan.cells))
        self._outcome = Outcome()
        self._refused = 0
        self._executed: dict[Key, int] = {}
        self._prepare()

    def _prepare(self) -> None:
        plan = self._plan
        # As if it had been busy for long: instances are executing, each at another place of its run.
        for cell in self._cells:
            for _ in range(int(plan.slots * min(plan.utilisation, _BUSY_AT_ONCE))):
                cell.create(self._task(0.0), 0.0)
                self._outcome.created += 1
            for _, key, attempt in cell.begun():
                self._plan_end(cell, self._rng.uniform(0.0, plan.run), key, attempt)
            for node in range(plan.nodes):
                self._at(self._rng.uniform(0.0, plan.report_every), "report", cell.number, node)
            self._at(_TICK_SECONDS, "tick", cell.number)
        self._at(0.0, "arrive")
        self._at(1.0, "sample")
        if plan.lost_at is not None:
            self._at(plan.lost_at, "lose", 0)
            self._at(plan.lost_at + plan.notice, "notice", 0)
            self._at(plan.lost_at + plan.lost_for, "return", 0)
            self._at(plan.lost_at + plan.lost_for + plan.notice, "notice", 0)

    def run(self) -> Outcome:
        while self._agenda:
            now, _, what, about = heapq.heappop(self._agenda)
            self._watch(what)
            getattr(self, f"_{what}")(now, *about)
            for cell in self._cells:
                for end, key, attempt in cell.begun():
                    self._plan_end(cell, end, key, attempt)
        self._outcome.twice = sum(count > 1 for count in self._executed.values())
        return self._outcome

    def _at(self, when: float, what: str, *about: object) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (when, self._count, what, about))

    def _plan_end(self, cell: Cell, end: float, key: Key, attempt: int) -> None:
        self._executed[key] = self._executed.get(key, 0) + 1
        self._at(end, "end", cell.number, key, attempt)

    def _goes_on(self, now: float) -> bool:
        return now < self._plan.seconds or self._outcome.succeeded < self._outcome.created

    def _task(self, now: float) -> TaskRecord:
        plan = self._plan
        self._count += 1
        model = _popular(plan, self._rng)
        tenant = int(plan.tenants * self._rng.random() ** 2)
        return machine.create(
            Definition(
                key=Key(f"tenant-{tenant:05}", f"t{self._count}"),
                request_digest="",
                spec=SpecRef("", 0),
                requirements=Requirements(models=(ModelFile(*_LOADER, model),)),
                create_time=now,
                work=Work(f"shape-{model}", plan.run),
            )
        )

    def _arrive(self, now: float) -> None:
        if now < self._plan.seconds:
            self._outcome.created += 1
            self._place(now, self._task(now))
            self._at(now + self._rng.expovariate(self._plan.rate), "arrive")

    def _place(self, now: float, record: TaskRecord) -> None:
        """The router chooses; who meets a cell that does not answer tries again."""
        known = [self._cells[number] for number in sorted(self._known)]
        chosen = min(known, key=lambda cell: (len(cell.waiting) + len(cell.held), cell.number))
        if chosen.up:
            chosen.create(record, now)
            return
        self._refused += 1
        self._at(now + 1.0, "place", record)

    def _end(self, now: float, number: int, key: Key, attempt: int) -> None:
        record = self._cells[number].end(key, attempt, now)
        if record is None or record.start_time is None:
            return
        self._outcome.succeeded += 1
        waits = self._outcome.lost_waits if number == 0 else self._outcome.waits
        waits.append(record.start_time - record.definition.create_time)

    def _report(self, now: float, number: int, node: int) -> None:
        if self._cells[number].up:
            self._cells[number].report(node, now)
        if self._goes_on(now):
            self._at(now + self._plan.report_every, "report", number, node)

    def _tick(self, now: float, number: int) -> None:
        if self._cells[number].up:
            self._cells[number].tick(now)
        if self._goes_on(now):
            self._at(now + _TICK_SECONDS, "tick", number)

    def _sample(self, now: float) -> None:
        cells = self._cells
        self._outcome.samples.append(
            Sample(
                now,
                tuple(len(cell.waiting) for cell in cells),
                tuple(len(cell.held) if cell.up else 0 for cell in cells),
                tuple(cell.done for cell in cells),
                self._refused,
            )
        )
        if self._goes_on(now):
            self._at(now + 1.0, "sample")

    def _lose(self, _: float, number: int) -> None:
        self._cells[number].lose()

    def _return(self, now: float, number: int) -> None:
        self._cells[number].return_(now)

    def _notice(self, _: float, number: int) -> None:
        if self._cells[number].up:
            self._known.add(number)
        else:
            self._known.discard(number)


def _popular(plan: Plan, rng: random.Random) -> str:
    return f"model-{int(plan.models * rng.random() ** 3):03}"


def _catalog(models: int) -> Catalog:
    node_class, name = _LOADER
    options: Sequence[str] = [f"model-{number:03}" for number in range(models)]
    return Catalog.from_object_info(
        {node_class: {"input": {"required": {name: [[*options], {}]}}, "output": ["MODEL"], "output_node": False}}
    )
