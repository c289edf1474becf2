"""What is looked at now and then: the process itself, and whatever a service tells."""

from __future__ import annotations

import asyncio
from pathlib import Path

from comfymesh.telemetry import catalogue, sampling
from comfymesh.telemetry.metrics import Metrics
from comfymesh.telemetry.sampling import Process, sample
from comfymesh.testkit.measuring import measured


def test_a_process_tells_what_it_uses(tmp_path: Path) -> None:
    with measured("api") as (metrics, _):
        Process(metrics).look()
        assert (metrics.level(catalogue.CPU_TIME, "user") or 0) > 0
        assert (metrics.level(catalogue.MEMORY) or 0) > 1e6
        assert (metrics.level(catalogue.FILES) or 0) > 2
        assert (metrics.level(catalogue.THREADS) or 0) >= 1


def test_cpu_is_counted_once(tmp_path: Path) -> None:
    with measured("api") as (metrics, _):
        process = Process(metrics)
        process.look()
        once = metrics.level(catalogue.CPU_TIME, "user") or 0
        process.look()
        assert (metrics.level(catalogue.CPU_TIME, "user") or 0) < 2 * once


def test_a_system_that_tells_nothing_is_no_trouble(tmp_path: Path) -> None:
    with measured("api") as (metrics, _):
        Process(metrics, tmp_path).look()
        assert metrics.level(catalogue.MEMORY) is None
        assert metrics.level(catalogue.UPTIME) is not None


async def test_nobody_looks_where_nobody_reads() -> None:
    looked = list[int]()

    async def look() -> None:
        looked.append(1)

    await sample(1.0, look, metrics=Metrics())
    await sampling.sample_process(1.0, Metrics())
    assert looked == []


async def test_everything_is_looked_at_again_and_again() -> None:
    looked, enough = list[str](), asyncio.Event()

    async def one() -> None:
        looked.append("one")

    async def two() -> None:
        looked.append("two")
        if len(looked) == 6:
            enough.set()

    with measured("api") as (metrics, _):
        looking = asyncio.create_task(sample(0.0, one, two, metrics=metrics))
        await enough.wait()
        looking.cancel()
    assert looked[:6] == ["one", "two"] * 3
