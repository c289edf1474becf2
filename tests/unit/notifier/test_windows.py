"""Maintenance windows: once, or at the same times of the week."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from comfymesh.notifier.domain.windows import MaintenanceWindow


def window(**fields: Any) -> MaintenanceWindow:
    return MaintenanceWindow.model_validate({"name": "w", **fields})


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


WEEKLY = {"days": ["sat"], "at": "23:00", "lasts": "PT3H", "timezone": "Europe/Berlin"}


def test_a_window_that_comes_once() -> None:
    once = window(starts="2026-03-01T10:00:00Z", ends="2026-03-01T12:00:00Z", rules=["node-*"])
    assert once.covers("node-lost", {}, at("2026-03-01T11:00"))
    assert not once.covers("node-lost", {}, at("2026-03-01T12:00"))
    assert not once.covers("queue-age", {}, at("2026-03-01T11:00"))


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        ("2026-02-28T21:59", False),  # Saturday, 22:59 in Berlin
        ("2026-02-28T22:00", True),
        ("2026-03-01T00:59", True),  # Sunday, 01:59
        ("2026-03-01T01:00", False),
        ("2026-07-04T21:00", True),  # in summer it begins an hour earlier by UTC
    ],
)
def test_a_weekly_window_lasts_over_midnight_by_the_clock_of_its_zone(moment: str, *, quiet: bool) -> None:
    assert window(**WEEKLY).covers("any", {}, at(moment)) is quiet


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"starts": "2026-03-01T10:00:00Z"},
        {"starts": "2026-03-01T10:00:00Z", "ends": "2026-03-01T09:00:00Z"},
        {"starts": "2026-03-01T10:00:00", "ends": "2026-03-01T12:00:00"},
        {**WEEKLY, "starts": "2026-03-01T10:00:00Z", "ends": "2026-03-01T12:00:00Z"},
        {"days": ["sat"], "at": "23:00"},
        {**WEEKLY, "timezone": "Europe/Atlantis"},
        {**WEEKLY, "days": ["someday"]},
    ],
)
def test_a_window_that_is_neither_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        window(**fields)
