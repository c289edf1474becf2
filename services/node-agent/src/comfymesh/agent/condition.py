"""How an instance is, as its node tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from comfymesh.agent.comfyui.inventory import Inventory
from comfymesh.wire.v1 import spec_pb2


class InstanceState(StrEnum):
    """What an instance is doing. Values match `comfymesh.v1.Instance.State`."""

    STARTING = "STARTING"
    READY = "READY"
    DOWN = "DOWN"
    RETIRING = "RETIRING"
    QUARANTINED = "QUARANTINED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class Condition:
    """How an instance is: its state, why, its ComfyUI's version, and what it offers.

    What it offered last stays known while it is down, so that tasks for it are still taken. One that is stopped is not
    `startable` where its host has no room for it: others are to be asked in its place.
    """

    state: InstanceState
    reason: str = ""
    version: str = ""
    catalog: spec_pb2.BlobRef | None = None
    inventory: Inventory = field(default_factory=Inventory)
    startable: bool = True
