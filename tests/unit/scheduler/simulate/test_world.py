"""What the replayed trace does not have: instances that come and go, share GPUs and break, and tenants with a cap."""

from __future__ import annotations

import heapq
import random
from itertools import pairwise

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import events
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import OfferWork
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.domain.vram import make_of
from comfymesh.tasks import machine
from comfymesh.tasks.events import Assigned, AttemptFailed
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.policy import PolicySettings, TenantPolicy
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

CAP, CAPPED, BROKEN = 2, "capped", Place("node-0", "broken")
NODES, PAIRS, SIZE, PEAK = 3, 2, 24 << 30, 16 << 30
TASKS, MODELS, TENANTS, RUN = 300, 4, 5, 20.0
BREAKER = 60.0
LOADER = ("CheckpointLoaderSimple", "ckpt_name")


class World:
    """Nodes with pairs of instances that share a GPU, of which half come and go, and one instance that always fails.

    Every task of model 0 needs two thirds of a GPU: two of those never fit side by side once that is known.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.core = Core(report_ttl=1e9, resend_after=1e9)
        self.now = 0.0
        self.sequence = 0
        self.agenda: list[tuple[float, int, str, object]] = []
        self.running: dict[Key, tuple[TaskRecord, Place]] = {}
        self.done: set[Key] = set()
        self.offers: list[tuple[float, Place]] = []
        self.stopped: set[Place] = set()
        self.heavy: dict[Key, Place] = {}
        self.peaks_known = False
        settings = PolicySettings(breaker_seconds=BREAKER, tenants={CAPPED: TenantPolicy(max_running=CAP)})
        catalog = Catalog.from_object_info(
            {LOADER[0]: {"input": {"required": {LOADER[1]: [[f"m{n}" for n in range(MODELS)], {}]}}, "output": ["M"]}}
        )
        for event in (events.CatalogRead("c", catalog), events.PolicyChanged(settings), events.LogRead()):
            self.tell(event)
        for node in range(NODES):
            self.report(node)
        for number in range(TASKS):
            self.at(self.chance.uniform(0, TASKS * RUN / 8), "arrive", number)
        for number in range(60):
            self.at(number * 20.0, "toggle", number)
            self.at(number * 20.0 + 10.0, "tick", None)

    def at(self, when: float, what: str, about: object) -> None:
        self.sequence += 1
        heapq.heappush(self.agenda, (when, self.sequence, what, about))

    def run(self) -> None:
        while self.agenda:
            self.now, _, what, about = heapq.heappop(self.agenda)
            getattr(self, what)(about)

    def tell(self, event: events.Event) -> None:
        for decision in self.core.handle(event, self.now):
            if isinstance(decision, OfferWork):
                self.begin(decision)

    def begin(self, offer: OfferWork) -> None:
        """What may never be is looked at here, at each offer, and nowhere else."""
        place, key = offer.place, offer.record.key
        assert place not in self.stopped, "an instance that was stopped was given a task"
        self.offers.append((self.now, place))
        record = machine.apply(offer.record, Assigned(place.node, place.instance), self.now)
        self.running[key] = record, place
        assert sum(held.tenant == CAPPED for held in self.running) <= CAP
        if self.peaks_known and is_heavy(record):
            assert gpu(place) not in map(gpu, self.heavy.values()), "two that need most of a GPU were put on one"
            self.heavy[key] = place
        self.sequence += 1
        self.tell(events.TaskChanged(record, self.sequence))
        self.at(self.now + (0.5 if place == BROKEN else self.chance.uniform(0.7, 1.3) * RUN), "end", key)

    def arrive(self, number: object) -> None:
        tenant = CAPPED if self.chance.random() < 0.3 else f"t{self.chance.randrange(TENANTS)}"
        model = f"m{int(MODELS * self.chance.random() ** 1.5)}"
        definition = Definition(
            key=Key(tenant, f"task-{number}"),
            request_digest="",
            spec=SpecRef("", 0),
            requirements=Requirements(models=(ModelFile(*LOADER, model),)),
            create_time=self.now,
            work=Work(model, RUN),
        )
        self.sequence += 1
        self.tell(events.TaskChanged(machine.create(definition), self.sequence))

    def end(self, about: object) -> None:
        assert isinstance(about, Key)
        record, place = self.running.pop(about)
        self.heavy.pop(about, None)
        broken = place == BROKEN
        model = record.definition.requirements.models[0].name
        peak = PEAK if model == "m0" else 1 << 30
        run = events.Run(
            about,
            record.definition.work.shape,
            RUN,
            (model,),
            place,
            Timing(0.0, RUN, peak_vram_bytes=peak, gpu_class="h"),
            succeeded=not broken,
            failure=FailureClass.DEVICE_FAULT if broken else None,
            time=self.now,
            make=make_of(record.definition.requirements),
        )
        self.tell(events.TaskRan(run))
        self.sequence += 1
        if broken:
            failed = machine.apply(record, AttemptFailed(TaskError(FailureClass.DEVICE_FAULT, "broken")), self.now)
            assert not failed.is_final
            self.tell(events.TaskChanged(failed, self.sequence))
            return
        self.peaks_known |= model == "m0"
        self.done.add(about)
        self.tell(events.TaskEnded(about, self.sequence))

    def toggle(self, number: object) -> None:
        """An instance of a pool is stopped, or started again; what it runs it brings to its end."""
        assert isinstance(number, int)
        node = number % NODES
        place = Place(f"node-{node}", f"pool-{number // NODES % PAIRS}")
        self.stopped ^= {place}
        self.report(node)

    def tick(self, _: object) -> None:
        self.tell(events.Tick())

    def report(self, node: int) -> None:
        name = f"node-{node}"
        instances = [f"{kind}-{pair}" for kind in ("fixed", "pool") for pair in range(PAIRS)]
        if node == 0:
            instances.append(BROKEN.instance)
        told = {each: self.instance(Place(name, each)) for each in instances}
        self.tell(events.NodeReported(Report(name, "1", open=True, instances=told)))

    def instance(self, place: Place) -> Instance:
        stopped = place in self.stopped
        state = InstanceState.STOPPED if stopped else InstanceState.READY
        pool = "pool" if place.instance.startswith("pool") else ""
        return Instance(
            place.instance, state, 0 if stopped else 1, "c", (), "h", SIZE, pool, gpu=gpu(place).partition("/")[2]
        )


def gpu(place: Place) -> str:
    """One for each pair, and one more for what is broken."""
    return f"{place.node}/gpu-{place.instance.rpartition('-')[2]}"


def is_heavy(record: TaskRecord) -> bool:
    return record.definition.requirements.models[0].name == "m0"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_caps_breakers_pools_and_shared_gpus_hold_at_every_moment_and_nobody_starves(seed: int) -> None:
    world = World(seed)
    world.run()
    assert len(world.done) == TASKS
    assert not world.core.tasks()
    tried = [moment for moment, place in world.offers if place == BROKEN]
    opened = next(n for n, (one, next_) in enumerate(pairwise(tried)) if next_ - one >= BREAKER)
    # Tasks of a shape that has not succeeded anywhere yet count as one.
    assert 2 <= opened < 2 + MODELS
    assert all(later - earlier >= BREAKER for earlier, later in pairwise(tried[opened:]))
