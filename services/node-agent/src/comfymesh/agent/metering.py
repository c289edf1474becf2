"""Measures a node: its instances, GPUs and host. What attempts took is told by the log, and so by the scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from comfymesh.agent.attempts import Attempts
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.host import Host, Room
from comfymesh.agent.instance import Instance
from comfymesh.agent.nvml import Gpu
from comfymesh.telemetry import catalogue
from comfymesh.telemetry.instrument import Instrument
from comfymesh.telemetry.metrics import METRICS, Labels, Metrics

_MOST_TEXT = 128


class Metering:
    """Looks at a node.

    Args:
        node: Its name.
        instances: Its instances by name.
        attempts: The attempts that it holds.
        host: Its host.
        metrics: Where it is told.
    """

    def __init__(
        self,
        node: str,
        instances: Mapping[str, Instance],
        attempts: Attempts,
        host: Host,
        metrics: Metrics = METRICS,
    ) -> None:
        self._node = node
        self._instances = instances
        self._attempts = attempts
        self._host = host
        self._metrics = metrics

    async def sample(self) -> None:
        """Look once."""
        self._sample_instances()
        self._sample_gpus(self._host.gpus)
        self._sample_room(self._host.room)

    def _sample_instances(self) -> None:
        states = dict[Labels, float]()
        for name, instance in self._instances.items():
            for state in catalogue.INSTANCE_STATE.values:
                states[name, self._node, state] = float(instance.condition.state == state)
        held = Counter(claim.record.instance for claim in self._attempts)
        self._metrics.set(catalogue.INSTANCE_STATES, states)
        self._metrics.set(catalogue.INSTANCE_HELD, {(name, self._node): float(held[name]) for name in self._instances})
        self._metrics.set(
            catalogue.INSTANCE_MEMORY,
            {(name, self._node): float(i.memory_bytes or 0) for name, i in self._instances.items()},
        )

    def _sample_gpus(self, gpus: tuple[Gpu, ...]) -> None:
        self._of_each(catalogue.GPU_MEMORY, {gpu.uuid: gpu.memory_used_bytes for gpu in gpus})
        self._of_each(catalogue.GPU_MEMORY_LIMIT, {gpu.uuid: gpu.memory_bytes for gpu in gpus})
        use = {gpu.uuid: gpu.utilization_percent / 100 for gpu in gpus if gpu.utilization_percent is not None}
        self._of_each(catalogue.GPU_USE, use)
        self._of_each(catalogue.GPU_TEMPERATURE, {gpu.uuid: gpu.temperature_celsius for gpu in gpus})
        self._of_each(catalogue.GPU_ERRORS, {gpu.uuid: gpu.uncorrected_errors for gpu in gpus})

    def _of_each(self, instrument: Instrument, values: Mapping[str, float | None]) -> None:
        told = {uuid: value for uuid, value in values.items() if value is not None}
        self._metrics.set(instrument, {(clean(uuid, _MOST_TEXT), self._node): value for uuid, value in told.items()})

    def _sample_room(self, room: Room) -> None:
        free = {
            catalogue.HOST_MEMORY: (room.memory_bytes, room.memory_available_bytes),
            catalogue.HOST_DISK: (room.disk_bytes, room.disk_free_bytes),
        }
        for instrument, (size, left) in free.items():
            parts: Mapping[Labels, float] = {(self._node, "used"): size - left, (self._node, "free"): left}
            self._metrics.set(instrument, parts if size else {})
