"""Tells the mesh how this node is: everything, every time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from uuid import uuid4

from comfymesh import names
from comfymesh.agent.attempts import Attempts
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.condition import InstanceState
from comfymesh.agent.host import Host, Room
from comfymesh.agent.instance import Instance
from comfymesh.agent.nvml import Gpu
from comfymesh.agent.pool_report import pool_message
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.bus import subjects
from comfymesh.bus.intents import Availability
from comfymesh.bus.port import Bus, BusUnavailableError, MessageTooLargeError
from comfymesh.runtime.health import HEALTH
from comfymesh.tasks.placing import Site
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_report_pb2

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.05
_MAX_TEXT = 128
_MAX_REASON = 512
_VERSION = version("comfymesh-node-agent")


class Reporting:
    """Sends reports.

    Args:
        bus: Where to.
        node: This node.
        site: What it is, as its operator says.
        instances: Its instances by name.
        slots: How many attempts each can hold.
        seconds: How often at least.
        host: What the host has.

    Attributes:
        wanted: What operators want this node to be; unspecified while nobody has read that.
        pools: Answers its pools, each with the words why no more of its instances run.
    """

    def __init__(
        self,
        bus: Bus,
        node: str,
        site: Site,
        instances: Mapping[str, Instance],
        slots: int,
        seconds: float,
        host: Host | None = None,
    ) -> None:
        self._bus = bus
        self._node = node
        self._site = site
        self._instances = instances
        self._slots = slots
        self._seconds = seconds
        self._host = host
        self._boot_id = uuid4().hex
        self._sequence = 0
        self._changed = asyncio.Event()
        self._leaving = False
        self.wanted: Availability = node_pb2.Node.AVAILABILITY_OPEN
        self.pools: Callable[[], Iterable[tuple[PoolSpec, str]]] = tuple

    def changed(self) -> None:
        """Something is different: a report is due."""
        self._changed.set()

    async def announce_drain(self, attempts: Attempts) -> None:
        """From now on this node takes no new work; say so at once."""
        self._leaving = True
        await self.send(attempts)

    def follow(self, site: Site, slots: int, seconds: float) -> None:
        """This is so from now on."""
        self._site, self._slots, self._seconds = site, slots, seconds
        self._changed.set()

    def want(self, availability: Availability) -> None:
        """What an operator wants this node to be."""
        self.wanted = availability
        self._changed.set()

    async def run(self, attempts: Attempts) -> None:
        """Report at intervals and at every change, for ever."""
        while True:
            self._changed.clear()
            await self.send(attempts)
            try:
                async with asyncio.timeout(self._seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue
            # What changes together is told together.
            await asyncio.sleep(_SETTLE_SECONDS)

    async def send(self, attempts: Attempts) -> None:
        """Report now. One that is lost costs an interval."""
        self._sequence += 1
        try:
            await self._bus.publish(subjects.report(self._node), self._report(attempts).SerializeToString())
            HEALTH.well("reports")
        except BusUnavailableError as error:
            logger.debug("a report was lost: %s", error)
        except MessageTooLargeError as error:
            logger.warning("a report can't be sent: %s", error, extra={"action": "report_too_large"})

    def _report(self, attempts: Attempts) -> node_report_pb2.NodeReport:
        held = list(_held(attempts))
        return node_report_pb2.NodeReport(
            node=self._node_message(held),
            boot_id=self._boot_id,
            sequence=self._sequence,
            attempts=held,
            offers=[
                node_report_pb2.Offer(instance=instance.name, catalog=instance.condition.catalog)
                for instance in self._instances.values()
                if instance.condition.catalog is not None
            ],
        )

    def _node_message(self, held: list[node_report_pb2.HeldAttempt]) -> node_pb2.Node:
        availability = node_pb2.Node.AVAILABILITY_DRAINING if self._leaving else self.wanted
        return node_pb2.Node(
            name=names.node(self._node),
            state=node_pb2.Node.STATE_ACTIVE,
            availability=availability,
            labels=self._site.labels,
            instances=[self._instance(instance, held) for instance in self._instances.values()],
            agent_version=_VERSION,
            gpus=[_gpu(gpu) for gpu in self._host.gpus] if self._host else [],
            host=_room(self._host.room) if self._host else None,
            pools=[pool_message(self._node, spec, limit) for spec, limit in self.pools()],
        )

    def _instance(self, instance: Instance, held: list[node_report_pb2.HeldAttempt]) -> node_pb2.Instance:
        condition = instance.condition
        gpu = self._host.gpu(instance.care.gpu_uuid) if self._host else None
        count = sum(attempt.instance == instance.name for attempt in held)
        busy = condition.state is InstanceState.READY and count > 0
        name = "BUSY" if busy else condition.state.value
        return node_pb2.Instance(
            name=instance.name,
            state=f"STATE_{name}",
            state_reason=condition.reason[:_MAX_REASON],
            comfyui_version=condition.version,
            runtime=instance.kind,
            slots=self._slots if condition.startable else 0,
            held_attempts=count,
            node_class_count=condition.inventory.node_classes,
            model_file_count=condition.inventory.model_files,
            model_file_bytes=condition.inventory.model_bytes,
            memory_bytes=instance.memory_bytes or 0,
            resident_models=instance.workplace.residency.resident() if instance.workplace else (),
            gpu_class=self._site.gpu_class or (self._host.gpu_class(instance.care.gpu_uuid) if self._host else ""),
            vram_bytes=self._site.vram_bytes or (gpu.memory_bytes if gpu else 0),
            gpu_uuid=clean(instance.care.gpu_uuid or (gpu.uuid if gpu else ""), _MAX_TEXT),
            pool=instance.care.pool or self._site.pool,
            labels=instance.care.labels,
            preload_problems=_problems(instance),
        )


def _problems(instance: Instance) -> list[str]:
    preloaded = instance.workplace.preloaded.words.values() if instance.workplace else ()
    return [clean(words, _MAX_REASON) for words in preloaded if words]


def _gpu(gpu: Gpu) -> node_pb2.Gpu:
    return node_pb2.Gpu(**asdict(gpu) | {"uuid": clean(gpu.uuid, _MAX_TEXT), "model": clean(gpu.model, _MAX_TEXT)})


def _room(room: Room) -> node_pb2.Host:
    return node_pb2.Host(**asdict(room))


def _held(attempts: Attempts) -> Iterator[node_report_pb2.HeldAttempt]:
    for claim in attempts:
        yield node_report_pb2.HeldAttempt(
            tenant=claim.key.tenant,
            task_id=claim.key.task_id,
            attempt=claim.number,
            instance=claim.record.instance,
        )
