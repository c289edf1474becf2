"""Instances become those that the settings name, whatever becomes of them on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from comfymesh.agent.domain.pool_values import Phase
from comfymesh.agent.domain.rollout import Add, Present, Remove, Renew, held_up, steps

NAMES = "abcd"
digests = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1", "2"]))
present = st.dictionaries(
    st.sampled_from(NAMES), st.builds(Present, st.sampled_from(["1", "2"]), st.sampled_from(Phase))
)
SERVING = {Phase.SERVING, Phase.STARTING}


@given(digests, present, st.sets(st.sampled_from(NAMES)))
def test_at_most_one_that_serves_is_taken_away_to_be_renewed(
    wanted: dict[str, str], there: dict[str, Present], renewed: set[str]
) -> None:
    taken = [step.name for step in steps(wanted, there, renewed) if isinstance(step, Renew)]
    serving = [name for name in taken if there[name].phase in SERVING]
    assert len(serving) <= 1
    assert not serving or not held_up(there, renewed)
    assert all(there[name].digest != wanted[name] for name in taken)


@settings(deadline=None)
@given(digests, present, st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=20))
def test_in_the_end_all_are_as_wanted_if_they_come_up(
    wanted: dict[str, str], there: dict[str, Present], fates: list[tuple[str, bool]]
) -> None:
    """What was begun ends at some time; until then it may break as often as it likes."""
    renewed: set[str] = set()
    for name, breaks in [*fates, *[(name, False) for name in NAMES * 6]]:
        for step in steps(wanted, dict(there), renewed):
            match step:
                case Add(new):
                    there[new] = Present(wanted[new], Phase.STARTING)
                case Remove(old):
                    there[old] = Present(there[old].digest, Phase.STOPPING)
                case Renew(old):
                    renewed.add(old)
                    there[old] = Present(there[old].digest, Phase.STOPPING)
        known = there.get(name)
        if known is None:
            continue
        if known.phase is Phase.STOPPING:
            del there[name]
            if name in wanted:
                there[name] = Present(wanted[name], Phase.STARTING)
        elif known.phase is not Phase.STOPPED:
            there[name] = Present(known.digest, Phase.BROKEN if breaks else Phase.SERVING)
    assert {name: known.digest for name, known in there.items()} == wanted
    assert not list(steps(wanted, there, renewed))


def test_one_that_was_broken_and_then_stopped_holds_the_others_up() -> None:
    """With an image that does not work, one instance is lost and not one after the other, each once it has idled."""
    old = Present("1", Phase.SERVING)
    for failed, expected in [(True, []), (False, [Renew("b")])]:
        there = {"a": Present("2", Phase.STOPPED, failed), "b": old}
        assert list(steps({"a": "2", "b": "2"}, there, {"a"})) == expected


@dataclass
class Host:
    """What runs on a host, and one life of an agent after the other that sees to it.

    Attributes:
        containers: The settings by which each was made, by name.
        works: Which settings make an instance that serves.
        lost: Who served, and was taken away to be renewed, and what was made in its place has not served since.
    """

    containers: dict[str, str]
    works: frozenset[str]
    wanted: dict[str, str]
    there: dict[str, Present] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """A new life: it knows the settings, and finds out about each container once that serves."""
        self.renewed = set(self.wanted)
        self.there = {name: Present(digest, Phase.STARTING) for name, digest in self.wanted.items()}

    def look(self, name: str) -> None:
        """An instance comes further, as far as it does."""
        known = self.there[name]
        if known.phase is Phase.STOPPING:
            self.containers.pop(name, None)
            self.there[name] = Present(self.wanted[name], Phase.STARTING)
            return
        made = self.containers.setdefault(name, self.wanted[name])
        serves = made in self.works
        self.there[name] = Present(made if serves else known.digest, Phase.SERVING if serves else Phase.BROKEN)
        if serves:
            self.lost.discard(name)

    def step(self) -> None:
        for step in steps(self.wanted, dict(self.there), self.renewed):
            assert isinstance(step, Renew)
            if self.there[step.name].phase is Phase.SERVING:
                self.lost.add(step.name)
            self.renewed.add(step.name)
            self.there[step.name] = Present(self.there[step.name].digest, Phase.STOPPING)


fates = st.lists(st.sampled_from([*NAMES, "killed"]), max_size=40)


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from("12"), min_size=1), st.booleans(), fates)
def test_an_agent_that_is_killed_goes_on_one_at_a_time(
    containers: dict[str, str],
    good: bool,  # noqa: FBT001  # whether the new settings work
    happens: list[str],
) -> None:
    host = Host(containers, frozenset("12" if good else "1"), dict.fromkeys(containers, "2"))
    host.begin()
    for what in [*happens, *NAMES * 12]:
        if what == "killed":
            host.begin()
        elif what in host.there:
            host.look(what)
        host.step()
        assert len(host.lost) <= 1
    assert not good or set(host.containers.values()) == {"2"}
