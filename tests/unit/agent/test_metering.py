"""What an agent measures of its node."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.condition import Condition, InstanceState
from comfymesh.agent.host import Host, Room
from comfymesh.agent.metering import Metering
from comfymesh.agent.nvml import Gpu
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.metrics import Metrics
from comfymesh.testkit.benches import Bench
from comfymesh.testkit.measuring import measured


def metering(bench: Bench, metrics: Metrics, host: Host) -> Metering:
    instance = bench.instance()
    instance.condition = Condition(InstanceState.QUARANTINED)
    return Metering("a", {"x": instance}, cast("Attempts", ()), host, metrics)


def test_every_state_of_an_instance_is_told() -> None:
    assert set(InstanceState) <= set(catalogue.INSTANCE_STATE.values)


async def test_instances_gpus_and_host_are_told(bench: Bench, tmp_path: Path) -> None:
    host = Host(lambda: (), tmp_path)
    host.gpus = (Gpu("GPU-1", "NVIDIA L40S", 48, 12, 50, 61, 0), Gpu("GPU-2\n", "NVIDIA L40S", 48, 1))
    host.room = Room(100, 40, 1000, 10)
    with measured("agent") as (metrics, _):
        await metering(bench, metrics, host).sample()
        assert {key: value for key, value in metrics.series(catalogue.INSTANCE_STATES).items() if value} == {
            ("x", "a", "QUARANTINED"): 1
        }
        assert metrics.series(catalogue.INSTANCE_HELD) == {("x", "a"): 0}
        assert metrics.level(catalogue.GPU_MEMORY, "GPU-1", "a") == 12
        assert metrics.level(catalogue.GPU_USE, "GPU-1", "a") == 0.5
        assert metrics.level(catalogue.HOST_MEMORY, "a", "used") == 60
        assert metrics.level(catalogue.HOST_DISK, "a", "free") == 10


async def test_what_a_driver_does_not_tell_is_left_out(bench: Bench, tmp_path: Path) -> None:
    host = Host(lambda: (), tmp_path)
    host.gpus = (Gpu("GPU-2", "NVIDIA L40S", 48, 1),)
    with measured("agent") as (metrics, _):
        await metering(bench, metrics, host).sample()
        assert metrics.series(catalogue.GPU_TEMPERATURE) == metrics.series(catalogue.GPU_USE) == {}
        assert metrics.series(catalogue.HOST_MEMORY) == {}
