"""The fleet as its reports show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from comfymesh.tasks.placing import Site
from comfymesh.tasks.record import Key


class InstanceState(StrEnum):
    """What an instance is doing. Values match `comfymesh.v1.Instance.State`."""

    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    DOWN = "DOWN"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class Instance:
    """One ComfyUI server.

    Attributes:
        name: Its name, unique on its node.
        state: What it is doing.
        slots: How many attempts it can hold.
        catalog: Digest of its catalog; empty until it is known.
        resident: Model files in its memory as far as its agent can know, the one unused for longest first.
        gpu_class: Class of its GPU; empty where not known.
        vram_bytes: Memory of its GPU; 0 where not known.
        pool: The pool that it belongs to; empty for none.
        labels: What its operator wrote on its pool, over what is written on its node.
        gpu: Names its GPU on its node; empty where it is not known.
    """

    name: str
    state: InstanceState
    slots: int
    catalog: str = ""
    resident: tuple[str, ...] = ()
    gpu_class: str = ""
    vram_bytes: int = 0
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    gpu: str = ""

    @property
    def serving(self) -> bool:
        """Whether it answers."""
        return self.state in {InstanceState.READY, InstanceState.BUSY}


@dataclass(frozen=True, slots=True)
class Report:
    """A node's report.

    Attributes:
        node: Which node.
        boot_id: Changes with every start of its agent.
        open: Whether the node is meant to take work.
        instances: Its instances by name.
        held: The attempts it has: task to attempt number.
        labels: What its operator wrote on it.
    """

    node: str
    boot_id: str
    open: bool
    instances: Mapping[str, Instance] = field(default_factory=dict)
    held: Mapping[Key, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def welcomes(self, instance: str) -> bool:
        """Whether work for an instance would be taken in."""
        known = self.instances.get(instance)
        return self.open and known is not None and known.serving


@dataclass(frozen=True, slots=True)
class Place:
    """An instance of a node."""

    node: str
    instance: str


def site_of(report: Report, instance: Instance) -> Site:
    """What an instance is, as far as callers can ask for it."""
    labels = {**report.labels, **instance.labels} if instance.labels else report.labels
    return Site(labels, instance.gpu_class, instance.vram_bytes, instance.pool)
