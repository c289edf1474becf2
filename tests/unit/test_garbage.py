"""Which blobs nobody needs: what single looks come to. Whole lives of blobs are played in properties/test_sweeping."""

from __future__ import annotations

import pytest

from comfymesh.artifacts.garbage import Look, Suspects
from comfymesh.artifacts.versions import Version

GRACE = 100.0
DAY = 24 * 3600.0
IDLE = Version("ab" * 32)


def look(suspects: Suspects, began: float) -> list[Version]:
    return suspects.look(Look(began, frozenset({IDLE})))


@pytest.mark.parametrize(("after", "goes"), [(GRACE, True), (DAY, True), (DAY + 1, False)])
def test_what_was_seen_long_ago_says_nothing_any_more(after: float, goes: bool) -> None:  # noqa: FBT001
    """Another may have had the turn, and seen it named meanwhile."""
    suspects = Suspects(GRACE)
    assert look(suspects, 0.0) == []
    assert look(suspects, after) == ([IDLE] if goes else [])


def test_whoever_has_begun_anew_removes_it_a_grace_later() -> None:
    suspects = Suspects(GRACE)
    assert [look(suspects, began) for began in (0.0, 2 * DAY, 2 * DAY + GRACE - 1)] == [[], [], []]
    assert look(suspects, 2 * DAY + GRACE) == [IDLE]
