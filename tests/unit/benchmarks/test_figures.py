from __future__ import annotations

import pytest
from benchmarks.figures import Median, Quantiles, Spread, differences, percentile, rotated
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50)


@pytest.mark.parametrize(("percent", "value"), [(0, 10.0), (25, 20.0), (50, 30.0), (60, 34.0), (95, 48.0), (100, 50.0)])
def test_a_percentile_is_interpolated_between_neighbours(percent: float, value: float) -> None:
    assert percentile([50, 10, 40, 20, 30], percent) == pytest.approx(value)


def test_every_percentile_of_one_value_is_that_value() -> None:
    assert Quantiles.of([7.0]) == Quantiles(1, 7.0, 7.0)


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        percentile([], 50)


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_a_percentile_beyond_all_values_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="not within 0 to 100"):
        percentile([1.0], percent)


@given(VALUES, st.floats(0, 100), st.floats(0, 100))
def test_percentiles_lie_within_the_values_and_rise(values: list[float], one: float, other: float) -> None:
    low, high = percentile(values, min(one, other)), percentile(values, max(one, other))
    tolerance = 1e-6
    assert min(values) - tolerance <= low <= high + tolerance <= max(values) + 2 * tolerance


def test_a_spread_tells_the_median_and_the_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(median=2.5, least=1.0, most=10.0)


def test_differences_are_taken_round_by_round() -> None:
    assert differences([5.0, 3.0], [1.0, 4.0]) == [4.0, -1.0]


def test_differences_need_as_many_values_on_both_sides() -> None:
    with pytest.raises(ValueError, match="shorter"):
        differences([1.0, 2.0], [1.0])


def test_over_the_rounds_each_way_comes_first_equally_often() -> None:
    ways = ["direct", "mesh", "again"]
    firsts = [rotated(ways, number)[0] for number in range(-3, 6)]
    assert {way: firsts.count(way) for way in ways} == dict.fromkeys(ways, 3)


@given(st.lists(st.integers(), min_size=1), st.integers())
def test_rotating_loses_nothing(items: list[int], by: int) -> None:
    assert sorted(rotated(items, by)) == sorted(items)


def test_a_median_tells_between_which_values_the_true_one_is() -> None:
    # Ranks from tables of the sign test: 2nd and 9th of 10, 7th and 18th of 24.
    assert Median.of([float(value) for value in range(1, 11)]) == Median(5.5, 2.0, 9.0)
    assert Median.of([float(value) for value in range(24, 0, -1)]) == Median(12.5, 7.0, 18.0)
    assert Median.of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == Median(3.5, 1.0, 6.0)


def test_five_values_do_not_tell_a_median_well_enough() -> None:
    with pytest.raises(ValueError, match="5 values"):
        Median.of([1.0] * 5)
