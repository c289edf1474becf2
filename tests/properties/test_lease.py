"""Of those who compete for the lease never two lead at once, whatever is lost or late and whoever stands still."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.scheduler.domain.candidacy import Candidacy, Look, Take, Terms, Wait

TERMS = Terms(ttl=2.0, interval=0.5)
LAST_CALM = 8.0
"""After so long without faults somebody leads: what is under way has ended, the lease has expired and was taken."""


@dataclass
class Lease:
    """The subject, as the server has it."""

    sequence: int = 0
    named: str = ""

    def append(self, after: int, named: str) -> int | None:
        if after != self.sequence:
            return None
        self.sequence, self.named = self.sequence + 1, named
        return self.sequence


@dataclass
class Rival:
    """One that competes: its candidacy, and a request that is under way as (arrives, answered, what)."""

    name: str
    candidacy: Candidacy
    request: tuple[float, float, float, Look | Take] | None = None
    outcome: tuple[object, ...] | None = None
    stands_still_until: float = 0.0


@dataclass
class World:
    """Time goes in small steps. A request arrives at the server, then its answer, each after its own delay."""

    chance: random.Random
    faults: float
    rivals: list[Rival]
    lease: Lease = field(default_factory=Lease)
    late: list[tuple[float, str, int]] = field(default_factory=list)
    now: float = 100.0

    def step(self, *, calm: bool) -> None:
        self.now += 0.05
        for arrives, named, after in [append for append in self.late if append[0] <= self.now]:
            self.late.remove((arrives, named, after))
            self.lease.append(after, named)
        for rival in self.chance.sample(self.rivals, len(self.rivals)):
            self.serve(rival)
            if self.now >= rival.stands_still_until:
                self.run(rival, calm=calm)

    def serve(self, rival: Rival) -> None:
        """The server takes the request, whether its sender still waits for an answer or not."""
        if rival.request is None or rival.outcome is not None or self.now < rival.request[1]:
            return
        step = rival.request[3]
        match step:
            case Look():
                rival.outcome = ("saw", self.lease.sequence, self.lease.named)
            case Take(after):
                rival.outcome = ("took", self.lease.append(after, rival.name))

    def run(self, rival: Rival, *, calm: bool) -> None:
        if not calm and self.chance.random() < self.faults * 0.1:
            rival.stands_still_until = self.now + self.chance.uniform(0, 5)
            return
        if rival.request is not None:
            self.answer(rival)
            return
        step = rival.candidacy.next(self.now)
        if not isinstance(step, Wait):
            worst = 0.05 if calm or self.chance.random() > self.faults else 4.0
            arrives = self.now + self.chance.uniform(0, worst)
            rival.request = (self.now, arrives, arrives + self.chance.uniform(0, worst), step)

    def answer(self, rival: Rival) -> None:
        assert rival.request is not None
        sent, arrives, answered, step = rival.request
        if self.now >= answered and rival.outcome is not None:
            match rival.outcome:
                case ("saw", int(sequence), str(named)):
                    rival.candidacy.saw(sequence, named, self.now)
                case ("took", None):
                    rival.candidacy.refused()
                case ("took", int(sequence)):
                    rival.candidacy.took(sequence, sent)
        elif self.now - sent > TERMS.ttl:
            # Given up. It may have been stored, or be stored later, or be lost.
            if isinstance(step, Take):
                rival.candidacy.unsure()
                if rival.outcome is None and self.chance.random() < 0.5:
                    self.late.append((arrives, rival.name, step.after))
        else:
            return
        rival.request = rival.outcome = None

    def leaders(self) -> list[str]:
        return [rival.name for rival in self.rivals if rival.candidacy.leads(self.now)]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    faults=st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    count=st.integers(1, 4),
    steps=st.integers(50, 400),
)
def test_never_two_lead_and_in_the_end_one_does(seed: int, faults: float, count: int, steps: int) -> None:
    rivals = [Rival(name, Candidacy(name, TERMS)) for name in "abcd"[:count]]
    world = World(random.Random(seed), faults, rivals)
    for _ in range(steps):
        world.step(calm=False)
        assert len(world.leaders()) <= 1
    for rival in rivals:
        rival.stands_still_until = 0.0
    calm = 0.0
    while calm < LAST_CALM:
        world.step(calm=True)
        calm += 0.05
        assert len(world.leaders()) <= 1
    assert len(world.leaders()) == 1
