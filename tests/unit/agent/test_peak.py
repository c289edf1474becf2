"""The most GPU memory that an instance held while a prompt ran."""

from __future__ import annotations

from typing import Any

import pytest

from comfymesh.agent.domain.peak import Peaks, reserved


def stats(held: object, kind: str = "cuda") -> dict[str, Any]:
    return {"devices": [{"type": kind, "torch_vram_total": held}, {"type": "cuda", "torch_vram_total": 99}]}


def test_the_most_that_was_seen_while_it_ran_is_its_own() -> None:
    peaks = Peaks()
    peaks.see(stats(50))
    first = peaks.begin()
    for held in (10, 30, 20):
        peaks.see(stats(held))
    second = peaks.begin()
    peaks.see(stats(5))
    assert (first.bytes, second.bytes) == (30, 5)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"devices": None},
        {"devices": []},
        {"devices": ["cuda"]},
        {"devices": [{"type": "cuda"}]},
        stats(7, "cpu"),
        stats(7, "mps"),
        stats("7"),
        stats(held=True),
        stats(-1),
        stats(2**70),
        stats(float("nan")),
    ],
)
def test_what_it_does_not_say_is_not_known(said: dict[str, Any]) -> None:
    assert reserved(said) == 0
