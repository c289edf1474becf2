from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.cli.text import age, clean, duration, one_line, percent, short_name, size


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_reaches_the_terminal_with_controls(text: str) -> None:
    assert not [char for char in clean(text) if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160]


def test_escape_sequences_vanish_as_a_whole() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]0;title\x07end") == "red end"
    assert one_line("two\nlines\tand\r\n\x1b[2Jmore") == "two lines and more"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB"), (5 << 50, "5120.0 TiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (11520, "3 h 12 min"), (10**6, "11 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ages_and_shares_and_names() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert age(None, now) == "-"
    assert age(now, now) == "now"
    assert age(now - timedelta(minutes=2), now) == "2 min 00 s ago"
    assert [percent(share) for share in (-1, 0.625, 7)] == ["0 %", "62 %", "100 %"]
    assert short_name("tasks/abc") == "abc"
