"""How long ago something was, though the wall clock is set, by this life of the agent and by later ones."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent import host_clock
from comfymesh.agent.domain.offsets import noted, steady_time
from comfymesh.agent.host_clock import HostClock


class Clocks:
    """The clocks of a host."""

    wall, steady = 1_700_000_000.0, 500.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clocks]:
    clocks = Clocks()
    with monkeypatch.context() as patches:
        patches.setattr(time, "time", lambda: clocks.wall)
        patches.setattr(time, "clock_gettime", lambda _: clocks.steady)
        yield clocks


@pytest.mark.parametrize("step", [-86400.0, -30.0, 0.0, 30.0, 86400.0])
@pytest.mark.parametrize("lives", [1, 2])
def test_a_clock_that_is_set_makes_nothing_longer_or_shorter(
    tmp_path: Path, clocks: Clocks, step: float, lives: int
) -> None:
    clock = HostClock(tmp_path)
    clocks.pass_(100)
    began = clocks.wall
    clocks.pass_(20)
    clocks.wall += step
    if lives > 1:
        clock = HostClock(tmp_path)
    assert clock.passed(began) == pytest.approx(20)
    # One more life, to which the clock that was set is the only one it knows.
    clocks.pass_(7)
    assert HostClock(tmp_path).passed(began) == pytest.approx(27)


def test_nothing_is_kept_of_before_the_host_was_started(
    tmp_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    HostClock(tmp_path)
    monkeypatch.setattr(host_clock, "_boot_id", lambda: "another")
    clocks.steady, clocks.wall = 3.0, clocks.wall + 60
    assert HostClock(tmp_path).passed(clocks.wall - 5) == pytest.approx(5)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"offsets": 1}', '{"offsets": [[1]], "boot_id": "x"}', "\x00"),
        *(
            f'{{"boot_id": "this", "offsets": {offsets}}}'
            for offsets in ("[]", "[[0, NaN]]", "[[0, 1e999]]", '[["0", 1]]')
        ),
        '{"boot_id": "this", "offsets": [[0, 1' + 400 * "0" + "]]}",
        "[" * 60_000,
        " " * (1 << 16) + '{"boot_id": "this", "offsets": [[0, 1]]}',
    ],
)
def test_notes_that_can_not_be_read_are_as_good_as_none(
    tmp_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(host_clock, "_boot_id", lambda: "this")
    (tmp_path / "clock.json").write_text(text)
    assert HostClock(tmp_path).passed(clocks.wall - 5) == pytest.approx(5)
    assert json.loads((tmp_path / "clock.json").read_text())["offsets"]


def test_a_folder_that_can_not_be_written_is_said_and_no_more(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert HostClock(tmp_path / "file").passed(clocks.wall - 5) == pytest.approx(5)
    assert "can't be kept" in caplog.text


@given(
    steps=st.lists(st.tuples(st.floats(10, 1000), st.floats(0, 1e5)), max_size=8),
    when=st.floats(0, 1),
)
def test_whatever_the_clock_showed_is_found_as_long_as_it_was_only_set_ahead(
    steps: list[tuple[float, float]], when: float
) -> None:
    steady, offset, offsets = 0.0, 0.0, noted([], 0.0, 0.0)
    moments = []
    for seconds, step in steps:
        moments.append((steady + when * seconds, offset))
        steady, offset = steady + seconds, offset + step
        offsets = noted(offsets, steady, steady + offset)
    for moment, ahead in moments:
        # What is set by less than a second is not noted.
        assert steady_time(offsets, moment + ahead, steady) == pytest.approx(moment, abs=len(steps) + 1)


def test_the_earliest_of_many_are_forgotten() -> None:
    offsets = noted([], 0.0, 0.0)
    for number in range(1, 100):
        offsets = noted(offsets, float(number), 11.0 * number)
    assert len(offsets) == 16
    assert steady_time(offsets, 10.0 * 99 + 99 + 3, 200.0) == 99 + 3
