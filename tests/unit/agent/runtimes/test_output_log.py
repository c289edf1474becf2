from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.agent.runtimes import output_log
from comfymesh.agent.runtimes.contract import LOG_TAIL_BYTES


def test_there_is_no_tail_where_there_is_no_file(tmp_path: Path) -> None:
    assert output_log.tail(tmp_path / "output.log", 10) == ""


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, ""), (1, "c"), (2, "b\nc"), (3, "a\nb\nc"), (9, "a\nb\nc"), (-1, "")]
)
def test_the_tail_is_the_last_lines(tmp_path: Path, lines: int, expected: str) -> None:
    log = tmp_path / "output.log"
    log.write_text("a\nb\nc")
    assert output_log.tail(log, lines) == expected


def test_one_endless_line_does_not_make_an_endless_tail(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_bytes(b"x" * (3 * LOG_TAIL_BYTES))
    assert output_log.tail(log, 10) == "x" * LOG_TAIL_BYTES


@given(st.binary(max_size=200), st.integers(0, 5))
def test_any_output_has_a_tail(output: bytes, lines: int) -> None:
    tail = output_log.last_lines(output, lines)
    assert len(tail.encode()) <= 3 * len(output)  # a byte that is no text becomes a mark of three


def test_a_log_over_its_limit_is_cut_and_what_is_appended_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    with log.open("ab", buffering=0) as child:
        child.write(b"before\n" * 10)
        output_log.bound(log, limit=69)
        assert log.read_bytes() == b""
        child.write(b"after\n")
    assert output_log.tail(log, 10) == "after\n"
    assert (tmp_path / "output.log.1").read_text() == "before\n" * 10


def test_a_log_within_its_limit_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    output_log.bound(log, limit=6)
    log.write_text("before")
    output_log.bound(log, limit=6)
    assert log.read_text() == "before"


def test_the_former_process_keeps_its_log_once(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    for run in ("first", "second"):
        output_log.rotate(log)
        log.write_text(run)
    output_log.rotate(log)
    assert not log.exists()
    assert (tmp_path / "output.log.1").read_text() == "second"
