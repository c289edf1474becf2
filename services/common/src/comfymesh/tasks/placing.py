"""Whether an instance is one of those where a task's caller wants it to run. Pure; api and scheduler share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from comfymesh.tasks.record import Placement


class Wish(StrEnum):
    """What a caller may ask for."""

    LABELS = "labels"
    GPU_CLASS = "gpu_class"
    VRAM = "vram"
    POOL = "pool"


@dataclass(frozen=True, slots=True)
class Site:
    """What an instance is, as far as wishes go: its node's labels, its GPU, its pool."""

    labels: Mapping[str, str] = field(default_factory=dict)
    gpu_class: str = ""
    vram_bytes: int = 0
    pool: str = ""


def unmet(placement: Placement, site: Site) -> Iterator[tuple[Wish, str]]:
    """Each wish that the instance does not meet, in words. What is not known of it meets none."""
    lacking = [f"{key}={value}" for key, value in placement.labels if site.labels.get(key) != value]
    if lacking:
        yield Wish.LABELS, f"no label {', '.join(lacking)}"
    if placement.gpu_class and placement.gpu_class != site.gpu_class:
        yield Wish.GPU_CLASS, f"GPU class {site.gpu_class or 'unknown'}, not {placement.gpu_class}"
    if placement.min_vram_bytes > site.vram_bytes:
        yield Wish.VRAM, f"{_gib(site.vram_bytes)} of GPU memory, not {_gib(placement.min_vram_bytes)}"
    if placement.pool and placement.pool != site.pool:
        yield Wish.POOL, f"pool {site.pool or 'none'}, not {placement.pool}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
