"""The checker knows what schedulers and the ledger owe: start limits, the lease, what attempts have used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from comfymesh.tasks.record import State
from comfymesh.testkit.checking import check, specimens
from comfymesh.testkit.history import (
    CLOCKS,
    MENDED,
    PROMPT_TRAP,
    ROUGH_BUS,
    SIMULATION,
    Begun,
    Booked,
    Event,
    Fault,
    Leased,
    Logged,
)

RETRIED = specimens.history_of(specimens.RETRIED)
CLAIMED = next(event for event in RETRIED if isinstance(event, Logged) and event.attempt).at
EXPIRED = specimens.history_of([("Expired", State.EXPIRED)])


def found(history: Sequence[Event]) -> list[str]:
    return [f"{violation.promise.name}: {violation.what}" for violation in check(history).violations]


def due(history: Sequence[Event], before: float, *faults: Fault, what: str = SIMULATION) -> list[Event]:
    """The same, of tasks that had to begin so many seconds before their second record."""
    second = [event for event in history if isinstance(event, Logged)][1]
    limited = [replace(event, start_by=second.at - before) if isinstance(event, Logged) else event for event in history]
    return [Begun(0.0, what, 0), *faults, *limited[1:]]


class TestStartLimits:
    def test_an_assignment_that_came_too_late(self) -> None:
        (what,) = found(due(RETRIED, 2.0))
        assert "was ASSIGNED 2.000 s after that" in what
        assert what.startswith("P6")

    def test_not_one_that_was_on_its_way(self) -> None:
        assert found(due(RETRIED, 1.0)) == []

    @pytest.mark.parametrize(
        "fault",
        [
            ("kill", "scheduler-0 for 1.00 s"),
            ("stop bus", " for 1.00 s"),
            ("killed at a fault point", "scheduler-0: LEASE_TAKEN"),
        ],
    )
    def test_not_while_no_scheduler_could_act(self, fault: tuple[str, str]) -> None:
        assert found(due(RETRIED, 2.0, Fault(CLAIMED - 5.0, *fault))) == []

    @pytest.mark.parametrize(("what", "over"), [(ROUGH_BUS, MENDED), ("cut off", "cut off is over")])
    def test_nor_all_the_time_that_it_lasted(self, what: str, over: str) -> None:
        long = Fault(CLAIMED - 50.0, what, "scheduler-0"), Fault(CLAIMED - 5.0, over)
        assert found(due(RETRIED, 2.0, *long)) == []

    @pytest.mark.parametrize("what", ["kill", "killed at a fault point"])
    def test_nor_once_another_is_back_that_was_away_as_well(self, what: str) -> None:
        away = Fault(CLAIMED - 20.0, what, "scheduler-0 for 25.00 s"), Fault(CLAIMED - 18.0, what, "agent-0 for 1.00 s")
        back = (
            Fault(CLAIMED - 17.0, f"{what} is over", "agent-0"),
            Fault(CLAIMED + 5.0, f"{what} is over", "scheduler-0"),
        )
        assert found(due(RETRIED, 2.0, *away, *back)) == []

    @pytest.mark.parametrize(
        "what", ["kill", "slow comfyui", "slow comfyui is over", "kill comfyui is over", PROMPT_TRAP]
    )
    def test_that_an_agent_was_away_is_no_excuse(self, what: str) -> None:
        assert found(due(RETRIED, 2.0, Fault(CLAIMED - 5.0, what, "comfyui-0" if "comfyui" in what else "agent-0")))

    def test_nor_is_what_was_over_for_long(self) -> None:
        rough = [Fault(CLAIMED - 50.0, ROUGH_BUS, "late 0.2"), Fault(CLAIMED - 15.0, MENDED)]
        assert found(due(RETRIED, 2.0, *rough))

    @pytest.mark.parametrize(("over", "told"), [(9.0, 1), (6.6, 1), (6.4, 0), (0.0, 0)])
    def test_a_fault_excuses_what_it_lasted_and_not_what_is_late_long_after_it(self, over: float, told: int) -> None:
        first = next(event for event in RETRIED if isinstance(event, Logged))
        waited = [replace(event, at=0.1) if event is first else event for event in RETRIED]
        kill = Fault(CLAIMED - 11.0, "kill", "scheduler-0"), Fault(CLAIMED - over, "kill is over", "scheduler-0")
        assert len(found(due(waited, 12.0, *kill))) == told

    def test_one_that_is_told_too_late_that_it_is_too_late(self) -> None:
        (what,) = found(due(EXPIRED, 2.0))
        assert "was EXPIRED 2.000 s after that" in what

    def test_not_where_it_did_not_wait_meanwhile(self) -> None:
        back = specimens.history_of(
            [("Assigned", State.ASSIGNED), ("Released", State.QUEUED), ("Expired", State.EXPIRED)]
        )
        last = [event for event in back if isinstance(event, Logged)][-1]
        assert found(due(back, CLAIMED - last.at + 1.5)) == []

    def test_real_machines_may_be_late(self) -> None:
        assert found(due(RETRIED, 2.0, what="chaos")) == []

    def test_a_task_that_is_told_too_early_that_it_is_too_late(self) -> None:
        assert found(due(EXPIRED, 0.0)) == []
        assert found(due(EXPIRED, -1.0)) == ["P6: it was told that it is too late 1.000 s before its time"]

    def test_not_where_clocks_were_set(self) -> None:
        assert found(due(EXPIRED, -1.0, Fault(0.0, CLOCKS[0], "scheduler-0 for 1.00 s"))) == []


class TestLease:
    @pytest.mark.parametrize("leases", [[("a", 0.0), ("b", 1.9)], [("a", 0.0), ("a", 1.5), ("b", 2.5)]])
    def test_taken_while_it_is_held(self, leases: list[tuple[str, float]]) -> None:
        (what,) = found([*RETRIED, *(Leased(at, holder, 2.0) for holder, at in leases)])
        assert what.startswith("P2: b took the lease of a")

    @pytest.mark.parametrize(
        "leases", [[("a", 0.0), ("b", 2.0)], [("a", 0.0), ("", 0.5), ("b", 0.6)], [("a", 0.0), ("a", 0.1)]]
    )
    def test_not_after_its_time_nor_where_it_was_given_up(self, leases: list[tuple[str, float]]) -> None:
        assert found([*RETRIED, *(Leased(at, holder, 2.0) for holder, at in leases)]) == []

    def test_the_story_tells_who_had_it(self) -> None:
        said = str(check([*RETRIED, Leased(0.0, "a", 2.0), Leased(1.0, "b", 2.0)]))
        assert "the lease: b" in said


class TestLedger:
    USED = tuple(
        replace(event, used=1.5)
        if isinstance(event, Logged) and event.event in {"AttemptFailed", "Succeeded"}
        else event
        for event in RETRIED
    )

    def test_every_attempt_once(self) -> None:
        assert found([*self.USED, Booked(1000.0, 2, 3.0)]) == []

    @pytest.mark.parametrize(("attempts", "seconds"), [(3, 4.5), (1, 1.5), (2, 3.1), (2, 0.0)])
    def test_one_that_is_counted_twice_or_not_at_all(self, attempts: int, seconds: float) -> None:
        (what,) = found([*self.USED, Booked(1000.0, attempts, seconds)])
        assert what.startswith("P2: the ledger has ")
