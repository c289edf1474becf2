"""Whatever is seen in whatever order: series are bounded, and no counter goes back."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from comfymesh.telemetry import catalogue, leaders
from comfymesh.telemetry.instrument import OTHER
from comfymesh.telemetry.leaders import largest
from comfymesh.testkit.measuring import measured

tenants = st.lists(st.integers(0, 60).map(str), max_size=300)


@given(tenants)
def test_counts_are_bounded_complete_and_never_go_back(seen: list[str]) -> None:
    most = catalogue.TASKS_ENDED.most_series
    with patch.object(leaders, "_LOOK_AGAIN", 17), measured("scheduler") as (metrics, _):
        rest = 0.0
        for tenant in seen:
            metrics.add(catalogue.TASKS_ENDED, 1, tenant, "FAILED")
            series = metrics.series(catalogue.TASKS_ENDED)
            assert len(series) <= most
            assert rest <= series[OTHER, "FAILED"]
            rest = series[OTHER, "FAILED"]


@given(tenants)
def test_while_leaders_stay_nothing_is_lost(seen: list[str]) -> None:
    with measured("scheduler") as (metrics, _):
        for tenant in seen:
            metrics.add(catalogue.TASKS_CREATED, 1, tenant)
        assert sum(metrics.series(catalogue.TASKS_CREATED).values()) == len(seen)


@given(st.dictionaries(st.integers(0, 99).map(str), st.integers(0, 9), max_size=30), st.integers(1, 5))
def test_the_largest_are_told_and_the_rest_summed_up(levels: dict[str, int], most: int) -> None:
    told = largest(levels, most, sum)
    assert len(told) <= most + 1
    assert sum(told.values()) == sum(levels.values()) or OTHER in levels
    named = [value for name, value in told.items() if name != OTHER]
    assert all(level <= min(named, default=9) for name, level in levels.items() if name not in told)
