"""The scheduler's core against a log that others write to as well: whatever comes, in whatever order."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Change, Decision, SendWork, StopWork
from comfymesh.scheduler.domain.events import CatalogRead, Event, LogRead, NodeReported, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import HELD, Key, State, TaskRecord
from comfymesh.testkit import tasks

SLOTS = {Place("a", "x"): 2, Place("a", "y"): 1, Place("b", "x"): 1}
NODES = ("a", "b")
CATALOG = "catalog"
TTL = 8.0


class Mesh(RuleBasedStateMachine):
    """The log is real; the tail lags, appends are lost or confirmed late, agents work, nodes fall silent."""

    def __init__(self) -> None:
        super().__init__()
        self.now = tasks.NOW
        self.log: list[TaskRecord] = []
        self.last: dict[Key, int] = {}
        self.told = 0
        self.changes: list[Change] = []
        self.orders: list[Decision] = []
        self.core = Core(report_ttl=TTL, resend_after=4.0)
        self.feed(LogRead())
        self.feed(CatalogRead(CATALOG, Catalog.from_object_info({})))
        for node in NODES:
            self.report(node)

    def feed(self, event: Event) -> None:
        for decision in self.core.handle(event, self.now):
            if isinstance(decision, Change):
                self.changes.append(decision)
            else:
                self.orders.append(decision)

    def append(self, record: TaskRecord) -> None:
        self.log.append(record)
        self.last[record.key] = len(self.log)

    def tell(self, sequence: int, settles: int = 0) -> None:
        self.feed(TaskChanged(self.log[sequence - 1], sequence, settles))

    @rule(priority=st.integers(-1, 1))
    def create(self, priority: int) -> None:
        number = len(self.last)
        self.append(tasks.queued(f"t{number}", priority=priority, create_time=self.now))

    @rule(count=st.integers(1, 5))
    def read_on(self, count: int) -> None:
        for _ in range(min(count, len(self.log) - self.told)):
            self.told += 1
            self.tell(self.told)

    @precondition(lambda self: self.changes)
    @rule(number=st.integers(0, 100), outcome=st.sampled_from(["stored", "stored, unknown", "lost"]))
    def carry_out(self, number: int, outcome: str) -> None:
        change = self.changes.pop(number % len(self.changes))
        if outcome != "lost" and self.last[change.record.key] == change.sequence:
            self.append(machine.apply(change.record, change.event, self.now))
        self.tell(self.last[change.record.key], change.sequence)

    @precondition(lambda self: self.log)
    @rule(number=st.integers(0, 1000))
    def a_read_comes_late(self, number: int) -> None:
        self.tell(number % len(self.log) + 1)

    @precondition(lambda self: self.log)
    @rule(number=st.integers(0, 1000), what=st.sampled_from(["start", "succeed", "fail", "release", "cancel", "stop"]))
    def somebody_writes(self, number: int, what: str) -> None:
        record = self.log[list(self.last.values())[number % len(self.last)] - 1]
        event: events.Event = {
            "start": events.Started(),
            "succeed": events.Succeeded(()),
            "fail": tasks.failed(FailureClass.INSTANCE_LOST),
            "release": events.Released("given back"),
            "cancel": events.CancelRequested(),
            "stop": events.Cancelled(),
        }[what]
        if machine.allows(record, type(event)):
            self.append(machine.apply(record, event, self.now))

    @rule(node=st.sampled_from(NODES), boot=st.integers(0, 2), full=st.booleans(), serving=st.booleans())
    def a_report_comes(self, node: str, boot: int, *, full: bool, serving: bool) -> None:
        self.report(node, boot, full=full, serving=serving)

    def report(self, node: str, boot: int = 0, *, full: bool = True, serving: bool = True) -> None:
        held = {r.key: r.attempt for r in self.current() if r.state in HELD and r.node == node} if full else {}
        state = InstanceState.READY if serving else InstanceState.DOWN
        instances = {
            p.instance: Instance(p.instance, state, slots, CATALOG) for p, slots in SLOTS.items() if p.node == node
        }
        self.feed(NodeReported(Report(node, f"boot-{boot}", open=True, instances=instances, held=held)))

    @rule(seconds=st.floats(0.1, 2 * TTL))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.feed(Tick())

    def current(self) -> list[TaskRecord]:
        return [self.log[sequence - 1] for sequence in self.last.values()]

    def settle(self) -> None:
        """Everything arrives; nobody does anything else. Ends when nothing is left to be decided."""
        for _ in range(20):
            self.now += 400.0  # longer than any back-off
            for node in NODES:
                self.report(node)
            self.read_on(len(self.log))
            while self.changes:
                self.carry_out(0, "stored")
                self.read_on(len(self.log))
            self.feed(Tick())
            if not self.changes and self.told == len(self.log):
                return
        raise AssertionError("the core never comes to rest")

    @invariant()
    def no_instance_is_given_more_than_it_has_slots_for(self) -> None:
        held = Counter(Place(r.node, r.instance) for r in self.current() if r.state in HELD)
        assert all(count <= SLOTS[place] for place, count in held.items())

    @invariant()
    def orders_are_about_attempts_that_were_given(self) -> None:
        for order in self.orders:
            if isinstance(order, SendWork):
                assert order.record.state in HELD
                assert order.record == self.log[order.sequence - 1]
            elif isinstance(order, StopWork):
                assert order.attempt >= 1
        self.orders.clear()

    def teardown(self) -> None:
        self.settle()
        current = self.current()
        held = Counter(Place(r.node, r.instance) for r in current if r.state in HELD)
        waiting = [record.key for record in current if record.state is State.QUEUED]
        free = sum(SLOTS.values()) - sum(held.values())
        assert not waiting or not free, f"{len(waiting)} tasks wait though {free} slots are free"
        # What the core believes is what the log says, and nothing of what has ended is left in it.
        assert set(self.core._tasks) == {record.key for record in current if not record.is_final}
        assert {p: len(keys) for p, keys in self.core._held.items() if keys} == dict(held)


TestMesh = Mesh.TestCase
TestMesh.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
