"""The fleet as its reports show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from comfymesh.tasks.record import Key


class InstanceState(StrEnum):
    """What an instance is doing. Values match `comfymesh.v1.Instance.State`."""

    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True)
class Instance:
    """One ComfyUI server: what it is doing, how many attempts it can hold, and the digest of its catalog."""

    name: str
    state: InstanceState
    slots: int
    catalog: str = ""

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
    """

    node: str
    boot_id: str
    open: bool
    instances: Mapping[str, Instance] = field(default_factory=dict)
    held: Mapping[Key, int] = field(default_factory=dict)

    def welcomes(self, instance: str) -> bool:
        """Whether work for an instance would be taken in."""
        known = self.instances.get(instance)
        return self.open and known is not None and known.serving


@dataclass(frozen=True, slots=True)
class Place:
    """An instance of a node."""

    node: str
    instance: str
