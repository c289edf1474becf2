"""Whatever the scheduler's core is told, it never overfills an instance, assigns nothing twice and forgets nothing."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.decisions import Change, Decision, ReadCatalog, SendWork
from comfymesh.scheduler.domain.events import CatalogRead, Event, LogRead, NodeReported, TaskChanged, Tick
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.tasks import events, machine
from comfymesh.tasks.record import HELD, Definition, Key, Requirements, SpecRef, State

CATALOG = Catalog.from_object_info({"SaveImage": {"input": {}, "output": [], "output_node": True}})
SLOTS = 2
TTL = 8.0
NODES = ["n1", "n2"]


class Mesh(RuleBasedStateMachine):
    """A core beside a log that may refuse it, and nodes that come, go and finish."""

    def __init__(self) -> None:
        super().__init__()
        self.core = Core(report_ttl=TTL, resend_after=4.0)
        self.now = 1000.0
        self.log: dict[Key, tuple[int, machine.TaskRecord]] = {}
        self.sequence = 0
        self.reported: dict[str, float] = {}
        self.tell(LogRead())

    def tell(self, event: Event) -> None:
        for decision in self.core.handle(event, self.now):
            self.carry_out(decision)

    def carry_out(self, decision: Decision) -> None:
        if isinstance(decision, Change):
            sequence, record = self.log[decision.record.key]
            if sequence == decision.sequence:
                record = machine.apply(record, decision.event, self.now)
                self.store(record)
            else:
                self.tell(TaskChanged(record, sequence))
        elif isinstance(decision, ReadCatalog):
            self.tell(CatalogRead(decision.digest, CATALOG))
        elif isinstance(decision, SendWork):
            sequence, record = self.log[decision.record.key]
            assert decision.sequence <= sequence

    def store(self, record: machine.TaskRecord) -> None:
        self.sequence += 1
        self.log[record.key] = (self.sequence, record)
        self.tell(TaskChanged(record, self.sequence))

    @rule(priority=st.integers(-1, 1))
    def create(self, priority: int) -> None:
        definition = Definition(
            key=Key("default", f"t{len(self.log)}"),
            request_digest="d",
            spec=SpecRef("s", 1),
            requirements=Requirements(("SaveImage",)),
            create_time=self.now + len(self.log),
            priority=priority,
        )
        self.store(machine.create(definition))

    @rule(node=st.sampled_from(NODES), state=st.sampled_from(InstanceState), is_open=st.booleans())
    def report(self, node: str, state: InstanceState, *, is_open: bool) -> None:
        held = {key: record.attempt for key, (_, record) in self.log.items() if record.node == node}
        instance = Instance("c0", state, SLOTS, "digest")
        self.reported[node] = self.now
        self.tell(NodeReported(Report(node, "boot", is_open, {"c0": instance}, held)))

    @rule(index=st.integers(0, 20), event=st.sampled_from([events.Started(), events.Succeeded(())]))
    def node_writes(self, index: int, event: events.Event) -> None:
        self.write(index, event)

    @rule(index=st.integers(0, 20))
    def cancel(self, index: int) -> None:
        self.write(index, events.CancelRequested())

    @rule(seconds=st.sampled_from([0.25, 3.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tell(Tick())

    @rule(index=st.integers(0, 20))
    def an_old_record_is_told_again(self, index: int) -> None:
        if self.log:
            sequence, record = list(self.log.values())[index % len(self.log)]
            self.tell(TaskChanged(record, sequence))

    def write(self, index: int, event: events.Event) -> None:
        if self.log:
            _, record = list(self.log.values())[index % len(self.log)]
            if machine.allows(record, type(event)):
                self.store(machine.apply(record, event, self.now))

    @invariant()
    def no_instance_holds_more_than_its_slots(self) -> None:
        held: dict[Place, int] = {}
        for _, record in self.log.values():
            if record.state in HELD:
                place = Place(record.node, record.instance)
                held[place] = held.get(place, 0) + 1
        assert all(count <= SLOTS for count in held.values())

    @invariant()
    def nothing_waits_while_an_open_instance_that_serves_has_a_free_slot(self) -> None:
        self.now += 400.0  # every back-off has passed
        for node in NODES:
            held = {key: record.attempt for key, (_, record) in self.log.items() if record.node == node}
            instance = Instance("c0", InstanceState.READY, SLOTS, "digest")
            self.tell(NodeReported(Report(node, "boot", open=True, instances={"c0": instance}, held=held)))
        waiting = [record for _, record in self.log.values() if record.state is State.QUEUED]
        holding = [record for _, record in self.log.values() if record.state in HELD]
        assert not waiting or len(holding) == SLOTS * len(NODES)


TestMesh = Mesh.TestCase
