from __future__ import annotations

import pytest
from benchmarks.calls import Calls, Compared, Turn
from benchmarks.figures import Spread

MESH = [Turn(rate=500.0, cpu_ms=1.0), Turn(rate=300.0, cpu_ms=0.8), Turn(rate=400.0, cpu_ms=0.6)]
BARE = [Turn(rate=1000.0, cpu_ms=0.3), Turn(rate=400.0, cpu_ms=0.4), Turn(rate=500.0, cpu_ms=0.5)]
AGAIN = [Turn(rate=1000.0, cpu_ms=0.4), Turn(rate=500.0, cpu_ms=0.4), Turn(rate=450.0, cpu_ms=0.2)]


@pytest.fixture
def compared() -> Compared:
    return Compared.of(MESH, BARE, AGAIN)


def test_a_share_of_the_rate_is_that_of_the_same_round(compared: Compared) -> None:
    assert compared.share == Spread(median=0.75, least=0.5, most=0.8)
    assert compared.null == Spread(median=1.0, least=0.9, most=1.25)


def test_cpu_time_is_that_of_all_rounds_and_less_is_more(compared: Compared) -> None:
    assert (compared.cpu_ms, compared.bare_cpu_ms) == pytest.approx((0.8, 0.4))
    assert compared.cpu_share == pytest.approx(0.5)
    assert compared.cpu_null == pytest.approx(0.4 / (1.0 / 3))


def test_rounds_that_lack_a_turn_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Compared.of(MESH, BARE[:2], AGAIN)


def test_each_method_is_told_with_its_null_test(compared: Compared) -> None:
    rows = dict(Calls({"GetTask": compared}).rows())
    assert rows["**GetTask: CPU of the server by bare**"] == "**50%** (null test 120%)"
    assert rows["GetTask: rate by bare"] == "75% (null test 90% to 125%)"
