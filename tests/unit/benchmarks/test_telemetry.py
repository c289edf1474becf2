"""Which way of telling is compared with which, out of what each has taken."""

from __future__ import annotations

import pytest
from benchmarks.telemetry import METRICS, OFF, SILENCED, WAYS, Costs, Taken


def test_ways_are_compared_in_the_same_round() -> None:
    rounds = [{way: Taken(10.0 * slow, 5.0, 3.0) for way in WAYS} for slow in (1, 2, 3, 4, 5, 6)]
    for taken in rounds:
        taken[METRICS] = Taken(taken[OFF].task_ms * 1.05, 6.0, 4.0)
    costs = Costs.of(40, rounds)
    assert costs.more[METRICS].value == pytest.approx(0.05)
    assert costs.more[SILENCED].value == costs.more["off, once more"].value == 0.0
    assert (costs.tasks, costs.rounds, costs.cpu_ms[OFF], costs.idle_ms[METRICS], costs.read_ms) == (
        40,
        6,
        35.0,
        6.0,
        4.0,
    )
    assert len(costs.rows()) == len(WAYS) + 1
