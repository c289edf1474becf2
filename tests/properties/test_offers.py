"""Offers: at most one a task."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report
from comfymesh.scheduler.domain.offers import Offers
from comfymesh.tasks.record import Key

KEYS = [Key("default", name) for name in "abcd"]
PLACES = [Place(node, instance) for node in ("n", "m") for instance in ("x", "y")]


class OffersMachine(RuleBasedStateMachine):
    """Offers beside a plain list of those that stand, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.offers = Offers()
        self.now = 0.0
        self.standing: list[tuple[Key, Place, float]] = []

    @rule(key=st.sampled_from(KEYS), place=st.sampled_from(PLACES), wait=st.sampled_from([0.0, 1.0]))
    def make(self, key: Key, place: Place, wait: float) -> None:
        self.now += wait
        self.offers.make(key, place, self.now)
        self.standing = [*(offer for offer in self.standing if offer[0] != key), (key, place, self.now)]

    @rule(key=st.sampled_from(KEYS))
    def withdraw(self, key: Key) -> None:
        self.offers.withdraw(key)
        self.standing = [offer for offer in self.standing if offer[0] != key]

    @precondition(lambda self: self.standing)
    @rule(data=st.data())
    def grows_old(self, data: st.DataObject) -> None:
        moment = data.draw(st.sampled_from([made for _, _, made in self.standing]))
        assert self.offers.made_before(moment) == [key for key, _, made in self.standing if made <= moment]

    @rule(node=st.sampled_from(["n", "m", "unknown"]))
    def node_is_lost(self, node: str) -> None:
        assert self.offers.of_node(node) == [key for key, place, _ in self.standing if place.node == node]

    @rule(open_=st.booleans(), ready=st.sets(st.sampled_from("xy")), restarted=st.booleans())
    def node_reports(self, *, open_: bool, ready: set[str], restarted: bool) -> None:
        instances = {
            name: Instance(name, InstanceState.READY if name in ready else InstanceState.DOWN, 1, "c") for name in "xy"
        }
        report = Report("n", "boot", open=open_, instances=instances, held={})
        unwelcome = self.offers.unwelcome(report, restarted=restarted)
        assert unwelcome == [
            key
            for key, place, _ in self.standing
            if place.node == "n" and (restarted or not open_ or place.instance not in ready)
        ]

    @invariant()
    def each_task_is_offered_once(self) -> None:
        assert list(self.offers) == [key for key, _, _ in self.standing]

    @invariant()
    def each_task_is_offered_at_one_place(self) -> None:
        assert {key: self.offers.place(key) for key, _, _ in self.standing} == {
            k: place for k, place, _ in self.standing
        }


TestOffers = OffersMachine.TestCase
