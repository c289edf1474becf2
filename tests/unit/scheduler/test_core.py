"""What the core decides, event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain import core
from comfymesh.scheduler.domain.core import Core
from comfymesh.scheduler.domain.deadlines import StartDeadlines
from comfymesh.scheduler.domain.decisions import (
    Change,
    Decision,
    OfferWork,
    ReadCatalog,
    ReadRecord,
    SendWork,
    StopWork,
)
from comfymesh.scheduler.domain.events import (
    CatalogRead,
    Leading,
    LogRead,
    NodeReported,
    RecordRead,
    TaskChanged,
    TaskEnded,
    Tick,
)
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.tasks import events
from comfymesh.tasks.events import CancelRequested, Expired, Released, Started, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Key, ModelFile, Requirements, State, TaskRecord
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.tasks import after, assigned, failed, queued

CATALOG = Catalog.from_object_info(
    {"Loader": {"input": {"required": {"name": [["a.safetensors"], {}]}}, "output": ["MODEL"], "output_node": False}}
)


class Play:
    """A core, its clock, and short words for what happens."""

    def __init__(self, *, log_read: bool = True) -> None:
        self.clock = ManualClock()
        self.core = Core(report_ttl=8.0, resend_after=4.0)
        self.core.handle(CatalogRead("c", CATALOG), self.clock())
        if log_read:
            self.core.handle(LogRead(), self.clock())

    def task(self, record: TaskRecord, sequence: int) -> list[Decision]:
        return self.core.handle(TaskChanged(record, sequence), self.clock())

    def report(self, node: str = "a", *, boot: str = "1", slots: int = 2, **changes: object) -> list[Decision]:
        instance = Instance("x", InstanceState.READY, slots, "c")
        fields: dict[str, object] = {"open": True, "instances": {"x": instance}, "held": {}}
        return self.core.handle(NodeReported(Report(node, boot, **(fields | changes))), self.clock())  # type: ignore[arg-type]

    def tick(self, seconds: float) -> list[Decision]:
        self.clock.advance(seconds)
        return self.core.handle(Tick(), self.clock())


def offers(decisions: list[Decision]) -> dict[str, str]:
    return {
        decision.record.key.task_id: decision.place.node for decision in decisions if isinstance(decision, OfferWork)
    }


def test_nothing_is_decided_before_the_log_was_read() -> None:
    play = Play(log_read=False)
    assert offers(play.report()) == {}
    assert play.task(queued(), 1) == []
    assert offers(play.core.handle(LogRead(), play.clock())) == {"one": "a"}


def test_a_task_that_waits_is_offered_once() -> None:
    play = Play()
    play.report()
    assert play.task(queued(), 7) == [OfferWork(queued(), 7, Place("a", "x"))]
    assert play.report() == []
    assert play.task(after(queued(), assigned()), 8) == []


def test_a_slot_that_was_offered_is_not_offered_again() -> None:
    play = Play()
    play.report(slots=1)
    assert offers(play.task(queued("one"), 1)) == {"one": "a"}
    assert play.task(queued("two"), 2) == []
    play.task(after(queued("one"), assigned()), 3)
    assert offers(play.task(after(queued("one"), assigned(), Started(), Succeeded(())), 4)) == {"two": "a"}


def test_an_offer_that_nobody_takes_up_is_made_again() -> None:
    play = Play()
    play.report()
    (offer,) = play.task(queued(), 1)
    assert play.tick(3.9) == []
    assert play.tick(0.2) == [offer]


@pytest.mark.parametrize(
    "changes",
    [
        {"open": False},
        {"instances": {}},
        {"instances": {"x": Instance("x", InstanceState.DOWN, 2, "c")}},
        {"boot": "2", "instances": {"x": Instance("x", InstanceState.STARTING, 2, "c")}},
    ],
)
def test_an_offer_that_a_node_will_not_take_up_goes_elsewhere_at_once(changes: dict[str, object]) -> None:
    play = Play()
    play.report("a")
    assert offers(play.task(queued(), 1)) == {"one": "a"}
    play.report("b")
    assert offers(play.report("a", **changes)) == {"one": "b"}  # type: ignore[arg-type]


def test_an_agent_that_was_started_again_is_offered_anew_what_it_has_forgotten() -> None:
    play = Play()
    play.report()
    (offer,) = play.task(queued(), 1)
    assert play.report(boot="2") == [offer]


def test_a_claim_that_comes_after_the_offer_was_withdrawn_is_believed() -> None:
    play = Play()
    play.report("a")
    play.task(queued(), 1)
    play.report("b")
    assert offers(play.report("a", open=False)) == {"one": "b"}
    play.task(after(queued(), assigned("a", "x")), 2)
    assert offers(play.tick(4.1)) == {}


def test_a_standby_follows_everything_and_decides_nothing() -> None:
    play = Play()
    play.core.handle(Leading(leading=False), play.clock())
    play.report()
    assert play.task(queued(), 1) == []
    play.task(after(queued("two"), assigned("gone", "x"), Started()), 2)
    assert play.tick(60.0) == []
    play.report()
    assert offers(play.core.handle(Leading(leading=True), play.clock())) == {"one": "a"}


def test_who_leads_no_more_withdraws_its_offers() -> None:
    play = Play()
    play.report()
    play.task(queued(), 1)
    assert play.core.handle(Leading(leading=False), play.clock()) == []
    assert play.tick(5.0) == []
    assert offers(play.core.handle(Leading(leading=True), play.clock())) == {"one": "a"}


def test_what_is_told_late_is_no_news() -> None:
    play = Play()
    play.report(slots=1)
    play.task(after(queued(), assigned()), 2)
    play.task(after(queued(), assigned(), Started(), Succeeded(())), 4)
    assert play.task(after(queued(), assigned(), Started()), 3) == []
    assert offers(play.task(queued("two"), 5)) == {"two": "a"}


def test_that_a_task_has_ended_is_all_that_must_be_known_of_its_end() -> None:
    play = Play()
    play.report(slots=1)
    play.task(after(queued(), assigned()), 2)
    assert play.task(queued("two"), 3) == []
    assert offers(play.core.handle(TaskEnded(queued().key, 4), play.clock())) == {"two": "a"}
    assert play.task(after(queued(), assigned(), Started()), 3) == []


def test_an_end_that_is_told_late_is_no_news() -> None:
    play = Play()
    play.report(slots=1)
    play.task(after(queued(), assigned()), 5)
    play.core.handle(TaskEnded(queued().key, 4), play.clock())
    assert play.task(queued("two"), 6) == []


def test_two_tasks_of_the_same_moment_and_priority_both_run() -> None:
    play = Play()
    play.task(queued("one"), 1)
    play.task(queued("two"), 2)
    assert offers(play.report()) == {"one": "a", "two": "a"}


def test_the_higher_priority_goes_first_and_then_the_older() -> None:
    play = Play()
    tasks = {"old": (0, 1.0), "high": (5, 3.0), "young": (0, 2.0)}
    for number, (name, (priority, created)) in enumerate(tasks.items()):
        play.task(queued(name, priority=priority, create_time=created), number + 1)
    order = list(offers(play.report(slots=3)))
    assert order == ["high", "old", "young"]


def test_the_emptiest_instance_is_chosen() -> None:
    play = Play()
    play.report("a")
    play.report("b")
    given = [offers(play.task(queued(f"t{n}"), n + 1)) for n in range(4)]
    assert [node for decided in given for node in decided.values()] == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    "changes",
    [
        {"open": False},
        {"instances": {}},
        {"instances": {"x": Instance("x", InstanceState.DOWN, 2, "c")}},
        {"instances": {"x": Instance("x", InstanceState.STARTING, 2, "c")}},
        {"instances": {"x": Instance("x", InstanceState.READY, 0, "c")}},
        {"instances": {"x": Instance("x", InstanceState.READY, 2, "")}},
    ],
)
def test_an_instance_that_cannot_take_a_task_gets_none(changes: dict[str, object]) -> None:
    play = Play()
    play.report(**changes)
    assert offers(play.task(queued(), 1)) == {}
    assert offers(play.report()) == {"one": "a"}


@pytest.mark.parametrize(
    ("requirements", "fits"),
    [
        (Requirements(("Loader",)), True),
        (Requirements(("Loader",), (ModelFile("Loader", "name", "a.safetensors"),)), True),
        (Requirements(("Absent",)), False),
        (Requirements(("Loader",), (ModelFile("Loader", "name", "b.safetensors"),)), False),
    ],
)
def test_a_task_goes_where_its_classes_and_models_are(requirements: Requirements, *, fits: bool) -> None:
    play = Play()
    play.report()
    assert bool(offers(play.task(queued(requirements=requirements), 1))) is fits


def test_a_task_that_fits_nowhere_holds_nobody_up() -> None:
    play = Play()
    play.task(queued("absent", requirements=Requirements(("Absent",)), priority=9), 1)
    play.task(queued("one"), 2)
    assert offers(play.report()) == {"one": "a"}


def test_a_catalog_is_read_once() -> None:
    play = Play()
    instance = Instance("x", InstanceState.READY, 2, "new")
    assert play.report(instances={"x": instance}) == [ReadCatalog("new")]
    assert play.report(instances={"x": instance}) == []
    assert offers(play.task(queued(), 1)) == {}
    assert offers(play.core.handle(CatalogRead("new", CATALOG), play.clock())) == {"one": "a"}


def test_a_task_that_was_put_off_waits_until_its_time() -> None:
    play = Play()
    play.report()
    tried = after(queued(), assigned(), failed(FailureClass.INSTANCE_LOST), now=play.clock())
    assert play.task(tried, 3) == []
    play.tick(0.9)
    assert offers(play.tick(1.0)) == {"one": "a"}


def test_the_next_attempt_avoids_where_the_last_one_was_lost() -> None:
    play = Play()
    play.report("a")
    play.report("b")
    tried = after(queued(), assigned("a", "x"), failed(FailureClass.NODE_LOST), now=play.clock() - 100)
    assert offers(play.task(tried, 3)) == {"one": "b"}


def test_it_avoids_it_after_a_back_off_as_well_and_after_an_offer_that_nobody_took_up() -> None:
    play = Play()
    play.report("a")
    play.report("b")
    tried = after(queued(), assigned("a", "x"), failed(FailureClass.INSTANCE_LOST), now=play.clock())
    assert play.task(tried, 3) == []
    assert offers(play.tick(2.0)) == {"one": "b"}
    assert offers(play.tick(4.1)) == {"one": "b"}


class TestRecordsThatAreNotKept:
    """Of the tasks that wait, the records of only so many are in memory."""

    @pytest.fixture
    def play(self, monkeypatch: pytest.MonkeyPatch) -> Play:
        monkeypatch.setattr(core, "_RECORDS_KEPT", 1)
        play = Play()
        play.task(queued("kept"), 1)
        return play

    def test_it_is_read_again_and_offered_then(self, play: Play) -> None:
        record = queued("read")
        play.task(record, 2)
        _, offer, read = play.report()
        assert offer == OfferWork(queued("kept"), 1, Place("a", "x"))
        assert read == ReadRecord(record.key, 2)
        assert play.core.handle(RecordRead(record, 2), play.clock()) == [OfferWork(record, 2, Place("a", "x"))]

    def test_what_was_cancelled_meanwhile_is_offered_to_nobody(self, play: Play) -> None:
        record = queued("read")
        play.task(record, 2)
        play.report()
        assert play.task(after(record, CancelRequested("enough")), 3) == []
        assert play.core.handle(RecordRead(record, 2), play.clock()) == []

    def test_what_was_claimed_or_tried_meanwhile_is_not_offered_as_it_was_read(self, play: Play) -> None:
        record = queued("read")
        play.task(record, 2)
        play.report()
        tried = after(record, assigned(), failed(FailureClass.NODE_LOST), now=play.clock() - 100)
        play.task(tried, 4)
        assert play.core.handle(RecordRead(record, 2), play.clock()) == []
        assert offers(play.core.handle(RecordRead(tried, 4), play.clock())) == {"read": "a"}

    def test_a_slot_that_waits_for_a_record_goes_to_nobody_else(self, play: Play) -> None:
        play.task(queued("read"), 2)
        assert offers(play.report()) == {"kept": "a"}
        assert play.task(queued("third"), 3) == []

    def test_an_answer_that_is_lost_is_asked_for_again(self, play: Play) -> None:
        record = queued("read")
        play.task(record, 2)
        play.report()
        assert ReadRecord(record.key, 2) in play.tick(4.1)

    def test_it_is_read_to_expire(self, play: Play) -> None:
        record = queued("read", start_timeout=30.0)
        play.task(record, 2)
        assert play.tick(30.1) == [ReadRecord(record.key, 2)]
        assert play.core.handle(RecordRead(record, 2), play.clock()) == []
        assert play.tick(4.1) == [Change(record, 2, Expired())]


class TestNodes:
    def running(self, play: Play) -> TaskRecord:
        record = after(queued(), assigned(), Started())
        play.report(held={record.key: 1})
        play.task(record, 5)
        return record

    def test_what_a_report_lacks_for_some_time_is_sent_again(self) -> None:
        play = Play()
        record = self.running(play)
        play.clock.advance(3.9)
        assert play.report() == []
        play.clock.advance(0.2)
        assert play.report() == [SendWork(record, 5)]
        assert play.report() == []

    def test_an_agent_that_was_started_again_is_sent_its_work_at_once(self) -> None:
        play = Play()
        record = self.running(play)
        assert play.report(boot="2") == [SendWork(record, 5)]

    def test_what_a_report_has_that_it_should_not_is_stopped(self) -> None:
        play = Play()
        record = self.running(play)
        assert play.report(held={record.key: 1}) == []
        for held in ({record.key: 2}, {record.key: 1, Key("default", "unknown"): 1}):
            stops = [d for d in play.report(held=held) if isinstance(d, StopWork)]
            assert len(stops) == 1

    def test_a_task_that_is_being_cancelled_is_stopped_again_with_each_report(self) -> None:
        play = Play()
        record = self.running(play)
        (stop,) = play.task(after(record, CancelRequested("enough")), 6)
        assert stop == StopWork("a", record.key, 1, "enough")
        assert play.report(held={record.key: 1}) == [stop]
        assert play.report(held={record.key: 1}) == [stop]

    def test_a_silent_node_loses_what_it_runs(self) -> None:
        play = Play()
        record = self.running(play)
        assert play.tick(7.9) == []
        (change,) = play.tick(0.2)
        assert isinstance(change, Change)
        assert (change.record, change.sequence) == (record, 5)
        assert isinstance(change.event, events.AttemptFailed)
        assert change.event.error.failure is FailureClass.NODE_LOST

    def test_what_had_not_begun_on_a_silent_node_is_handed_back_without_blame(self) -> None:
        play = Play()
        play.task(after(queued(), assigned()), 2)
        (change,) = play.tick(8.1)
        assert isinstance(change, Change)
        assert isinstance(change.event, Released)

    def test_what_could_not_be_taken_back_is_tried_again(self) -> None:
        play = Play()
        self.running(play)
        assert len(play.tick(8.1)) == 1
        assert play.tick(1.0) == []
        assert len(play.tick(8.1)) == 1

    def test_a_node_that_was_never_heard_of_loses_its_tasks_after_the_same_time(self) -> None:
        play = Play(log_read=False)
        play.task(after(queued(), assigned("gone", "x"), Started()), 3)
        play.core.handle(LogRead(), play.clock())
        assert play.tick(7.9) == []
        assert len(play.tick(0.2)) == 1

    def test_a_lost_node_is_given_nothing(self) -> None:
        play = Play()
        play.report()
        play.tick(8.1)
        assert play.task(queued(), 1) == []


def test_a_core_knows_nothing_that_it_was_not_told() -> None:
    record = replace(queued(), state=State.EXPIRED)
    assert Play().task(record, 1) == []


class TestStartDeadlines:
    def test_a_task_that_still_waits_when_its_time_has_passed_expires_once(self) -> None:
        play, record = Play(), queued(start_timeout=30.0)
        assert play.task(record, 1) == []
        assert play.tick(29.9) == []
        assert play.tick(0.2) == [Change(record, 1, Expired())]
        assert play.tick(3.9) == []
        play.task(after(record, Expired()), 2)
        assert play.tick(60.0) == []

    def test_it_is_tried_again_where_the_log_does_not_tell_of_it(self) -> None:
        play, record = Play(), queued(start_timeout=30.0)
        play.task(record, 1)
        assert play.tick(30.0) == [Change(record, 1, Expired())]
        assert play.tick(4.0) == [Change(record, 1, Expired())]

    def test_what_is_too_late_is_offered_to_nobody(self) -> None:
        play = Play()
        play.task(queued(start_timeout=30.0), 1)
        play.tick(30.0)
        assert offers(play.report()) == {}
        assert offers(play.tick(5.0)) == {}

    def test_an_offer_of_it_is_withdrawn_and_its_slot_is_free(self) -> None:
        play, record = Play(), queued(start_timeout=2.0)
        play.report(slots=1)
        assert offers(play.task(record, 1)) == {"one": "a"}
        assert play.task(queued("two"), 2) == []
        decisions = play.tick(2.0)
        assert decisions[0] == Change(record, 1, Expired())
        assert offers(decisions) == {"two": "a"}

    def test_a_claim_that_is_quicker_wins(self) -> None:
        play, record = Play(), queued(start_timeout=2.0)
        play.report()
        play.task(record, 1)
        play.tick(2.0)
        play.task(after(record, assigned()), 2)
        assert not [decision for decision in play.tick(4.0) if isinstance(decision, Change)]

    def test_what_a_node_has_taken_is_left_alone(self) -> None:
        play = Play()
        play.task(after(queued(start_timeout=2.0), assigned()), 1)
        assert play.tick(3.0) == []

    def test_what_a_node_hands_back_too_late_expires_at_once(self) -> None:
        play = Play()
        back = after(queued(start_timeout=2.0), assigned(), Released("stopping"))
        play.tick(3.0)
        assert play.task(back, 2) == [Change(back, 2, Expired())]

    def test_one_attempt_that_began_satisfies_it(self) -> None:
        play = Play()
        again = after(queued(start_timeout=2.0), assigned(), Started(), failed(FailureClass.PREEMPTED))
        play.tick(3.0)
        assert play.task(again, 2) == []
        assert play.tick(60.0) == []

    def test_only_who_leads_and_has_read_the_log_lets_tasks_expire(self) -> None:
        play, record = Play(log_read=False), queued(start_timeout=2.0)
        play.task(record, 1)
        assert play.tick(3.0) == []
        play.core.handle(Leading(leading=False), play.clock())
        assert play.core.handle(LogRead(), play.clock()) == []
        assert play.core.handle(Leading(leading=True), play.clock()) == [Change(record, 1, Expired())]

    def test_tasks_that_ended_long_before_their_deadline_are_forgotten(self) -> None:
        deadlines = StartDeadlines()
        for number in range(10_000):
            record = queued(f"t{number}", start_timeout=3600.0)
            deadlines.add(record)
            deadlines.discard(record.key)
        assert len(deadlines) == 0
        assert len(deadlines._heap) < 2000
