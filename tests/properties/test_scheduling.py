"""The scheduler's core against a log that others write to as well: whatever comes, in whatever order."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Change, Decision, OfferWork, SendWork, StopWork
from comfymesh.scheduler.domain.events import CatalogRead, Event, Leading, LogRead, NodeReported, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import HELD, Key, Resolution, State, TaskRecord
from comfymesh.testkit import tasks

SLOTS = {Place("a", "x"): 2, Place("a", "y"): 1, Place("b", "x"): 1}
NODES = ("a", "b")
CATALOG = "catalog"
TTL = 8.0
RESEND = 4.0


class Mesh(RuleBasedStateMachine):
    """The log is real; its tail lags, offers are lost or taken up late, agents work, nodes fall silent."""

    def __init__(self) -> None:
        super().__init__()
        self.now = tasks.NOW
        self.log: list[TaskRecord] = []
        self.last: dict[Key, int] = {}
        self.told = 0
        self.changes: list[Change] = []
        self.offers: list[tuple[OfferWork, float]] = []
        self.orders: list[Decision] = []
        self.late_claims = 0
        self.leading = True
        self.core = Core(report_ttl=TTL, resend_after=RESEND)
        self.feed(LogRead())
        self.feed(CatalogRead(CATALOG, Catalog.from_object_info({})))
        for node in NODES:
            self.report(node)

    def feed(self, event: Event) -> None:
        for decision in self.core.handle(event, self.now):
            assert self.leading
            if isinstance(decision, Change):
                self.changes.append(decision)
            elif isinstance(decision, OfferWork):
                self.offers.append((decision, self.now))
            else:
                self.orders.append(decision)

    def append(self, record: TaskRecord) -> None:
        self.log.append(record)
        self.last[record.key] = len(self.log)

    @rule(priority=st.integers(-1, 1), patience=st.sampled_from([None, 1.0, 10.0]))
    def create(self, priority: int, patience: float | None) -> None:
        number = len(self.last)
        self.append(
            tasks.queued(f"t{number}", priority=priority, create_time=self.now, start_timeout=patience),
        )

    @rule(count=st.integers(1, 5))
    def read_on(self, count: int) -> None:
        for _ in range(min(count, len(self.log) - self.told)):
            self.told += 1
            self.feed(TaskChanged(self.log[self.told - 1], self.told))

    @precondition(lambda self: self.changes)
    @rule(number=st.integers(0, 100), stored=st.booleans())
    def carry_out(self, number: int, *, stored: bool) -> None:
        change = self.changes.pop(number % len(self.changes))
        if stored and self.last[change.record.key] == change.sequence:
            self.append(machine.apply(change.record, change.event, self.now))

    @precondition(lambda self: self.offers)
    @rule(number=st.integers(0, 100), lost=st.booleans())
    def an_offer_arrives(self, number: int, *, lost: bool) -> None:
        offer, made = self.offers.pop(number % len(self.offers))
        if not lost and self.last[offer.record.key] == offer.sequence:
            place = offer.place
            self.late_claims += self.now - made >= RESEND or not self.stands(offer)
            self.append(machine.apply(offer.record, events.Assigned(place.node, place.instance), self.now))

    def stands(self, offer: OfferWork) -> bool:
        known = self.core._offers._offers.get(offer.record.key)
        return known is not None and known.place == offer.place

    @precondition(lambda self: self.told)
    @rule(number=st.integers(0, 1000))
    def a_record_is_told_again(self, number: int) -> None:
        sequence = number % self.told + 1
        self.feed(TaskChanged(self.log[sequence - 1], sequence))

    @precondition(lambda self: self.log)
    @rule(
        number=st.integers(0, 1000),
        what=st.sampled_from(["start", "succeed", "fail", "release", "cancel", "stop", "resolve"]),
    )
    def somebody_writes(self, number: int, what: str) -> None:
        record = self.log[list(self.last.values())[number % len(self.last)] - 1]
        event: events.Event = {
            "start": events.Started(),
            "succeed": events.Succeeded(()),
            "fail": tasks.failed(FailureClass.INSTANCE_LOST),
            "release": events.Released("given back"),
            "cancel": events.CancelRequested(),
            "stop": events.Cancelled(),
            "resolve": events.Resolved(Resolution.DROPPED),
        }[what]
        if machine.allows(record, type(event)):
            self.append(machine.apply(record, event, self.now))

    @rule(leading=st.booleans())
    def the_lease_changes_hands(self, *, leading: bool) -> None:
        self.leading = leading
        self.feed(Leading(leading))

    @rule(
        node=st.sampled_from(NODES),
        boot=st.integers(0, 2),
        full=st.booleans(),
        serving=st.booleans(),
        is_open=st.booleans(),
    )
    def a_report_comes(self, node: str, boot: int, *, full: bool, serving: bool, is_open: bool) -> None:
        self.report(node, boot, full=full, serving=serving, is_open=is_open)

    def report(
        self, node: str, boot: int = 0, *, full: bool = True, serving: bool = True, is_open: bool = True
    ) -> None:
        held = {r.key: r.attempt for r in self.current() if r.state in HELD and r.node == node} if full else {}
        state = InstanceState.READY if serving else InstanceState.DOWN
        instances = {
            p.instance: Instance(p.instance, state, slots, CATALOG) for p, slots in SLOTS.items() if p.node == node
        }
        self.feed(NodeReported(Report(node, f"boot-{boot}", open=is_open, instances=instances, held=held)))

    @rule(seconds=st.floats(0.1, 2 * TTL))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.feed(Tick())

    def current(self) -> list[TaskRecord]:
        return [self.log[sequence - 1] for sequence in self.last.values()]

    def settle(self) -> None:
        """Everything arrives; nobody does anything else. Ends when nothing is left to be decided."""
        self.the_lease_changes_hands(leading=True)
        self.offers.clear()
        for _ in range(20):
            self.now += 400.0  # longer than any back-off
            for node in NODES:
                self.report(node)
            self.read_on(len(self.log))
            while self.changes or self.offers:
                while self.changes:
                    self.carry_out(0, stored=True)
                while self.offers:
                    self.an_offer_arrives(0, lost=False)
                self.read_on(len(self.log))
            self.feed(Tick())
            if not self.changes and not self.offers and self.told == len(self.log):
                return
        raise AssertionError("the core never comes to rest")

    def held(self) -> Counter[Place]:
        """How many attempts the core believes each instance to have."""
        tasks = [task for task in self.core.tasks() if isinstance(task, TaskChanged)]
        nodes = Counter(task.record.node for task in tasks)
        assert nodes == {node: len(kept) for node, kept in self.core._holdings._on_node.items()}
        return Counter(Place(task.record.node, task.record.instance) for task in tasks)

    @invariant()
    def no_instance_is_given_more_than_it_has_slots_for(self) -> None:
        held = Counter(Place(r.node, r.instance) for r in self.current() if r.state in HELD)
        over = sum(max(0, count - SLOTS[place]) for place, count in held.items())
        assert over <= self.late_claims  # what was offered elsewhere meanwhile may still be claimed, once each

    @invariant()
    def a_slot_is_taken_up_by_what_is_held_or_offered_there(self) -> None:
        offered = Counter(self.core._offers.place(key) for key in self.core._offers)
        held = self.held()
        for seat in self.core._seats:
            assert seat.taken == held[seat.place] + offered[seat.place]
            assert (seat in self.core._seats.idle) == (seat.has_room and not seat.taken)

    @invariant()
    def nothing_expires_early_or_after_it_has_begun(self) -> None:
        for record in self.current():
            if record.state is State.EXPIRED:
                assert record.update_time >= (record.definition.start_by or self.now)
                assert not record.has_begun

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
        free = sum(max(0, slots - held[place]) for place, slots in SLOTS.items())
        assert not waiting or not free, f"{len(waiting)} tasks wait though {free} slots are free"
        assert not [r for r in current if machine.can_expire(r) and (r.definition.start_by or self.now) < self.now]
        # What the core believes is what the log says, and nothing of what has ended is left in it.
        assert set(self.core._tasks) == {record.key for record in current if not record.is_final}
        assert self.held() == held
        assert not list(self.core._offers)
        assert not len(self.core._deadlines)


TestMesh = Mesh.TestCase
TestMesh.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
