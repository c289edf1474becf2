"""A small soak: `python -m comfymesh.testkit.soak` cancels more."""

from __future__ import annotations

from pathlib import Path

from comfymesh.testkit.soak import Sample, grows, soak


async def test_nothing_is_left_of_watches_that_were_cancelled(tmp_path: Path) -> None:
    samples = await soak(tmp_path, 2000, 2)
    assert not grows(*samples), samples


def test_what_is_kept_of_each_watch_is_noticed() -> None:
    first = Sample(1000, 100 * 2**20, 90_000)
    assert not grows(first, Sample(2000, 103 * 2**20, 90_010))
    assert grows(first, Sample(2000, 100 * 2**20, 90_100))
    assert grows(first, Sample(101_000, 114 * 2**20, 90_000))
