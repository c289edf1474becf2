"""Where a caller wants a task to run, and whether an instance is such a place."""

from __future__ import annotations

import pytest

from comfymesh.tasks.placing import Site, Wish, unmet
from comfymesh.tasks.record import Placement

GIB = 2**30
SITE = Site({"zone": "a", "ssd": ""}, "nvidia-l40s", 48 * GIB, "video")


@pytest.mark.parametrize(
    ("placement", "wishes"),
    [
        (Placement(), []),
        (Placement((("zone", "a"),), "nvidia-l40s", 48 * GIB, "video"), []),
        (Placement((("ssd", ""),)), []),
        (Placement((("zone", "b"), ("rack", "1"))), [(Wish.LABELS, "no label zone=b, rack=1")]),
        (Placement((("rack", ""),)), [(Wish.LABELS, "no label rack=")]),
        (Placement(gpu_class="nvidia-h100"), [(Wish.GPU_CLASS, "GPU class nvidia-l40s, not nvidia-h100")]),
        (Placement(min_vram_bytes=80 * GIB), [(Wish.VRAM, "48.0 GiB of GPU memory, not 80.0 GiB")]),
        (Placement(pool="pictures"), [(Wish.POOL, "pool video, not pictures")]),
    ],
)
def test_each_wish_that_is_not_met_is_named(placement: Placement, wishes: list[tuple[Wish, str]]) -> None:
    assert list(unmet(placement, SITE)) == wishes


def test_what_is_not_known_of_an_instance_meets_no_wish() -> None:
    placement = Placement((("zone", "a"),), "nvidia-l40s", 1, "video")
    assert [wish for wish, _ in unmet(placement, Site())] == list(Wish)
