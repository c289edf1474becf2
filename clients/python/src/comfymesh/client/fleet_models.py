"""The hosts of a mesh, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class NodeState(StrEnum):
    """Whether a node can be reached."""

    UNKNOWN = "UNKNOWN"
    ACTIVE = "ACTIVE"
    UNREACHABLE = "UNREACHABLE"


class Availability(StrEnum):
    """Whether a node is meant to take work."""

    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    CORDONED = "CORDONED"
    DRAINING = "DRAINING"


class InstanceState(StrEnum):
    """What an instance is doing."""

    UNKNOWN = "UNKNOWN"
    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    DOWN = "DOWN"
    RETIRING = "RETIRING"
    QUARANTINED = "QUARANTINED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of a node.

    Attributes:
        uuid: UUID given by the driver.
        model: Model name.
        memory_bytes: Its memory.
        memory_used_bytes: What of it is in use.
        utilization_percent: Share of the last moment in which it worked; None where the driver does not tell.
        temperature_celsius: Its temperature; None where the driver does not tell.
        uncorrected_errors: Memory errors that could not be corrected; None where it has no ECC.
    """

    uuid: str
    model: str
    memory_bytes: int
    memory_used_bytes: int = 0
    utilization_percent: int | None = None
    temperature_celsius: int | None = None
    uncorrected_errors: int | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """What a host has left, in bytes; 0 where that is not known.

    Attributes:
        memory_bytes: Its memory.
        memory_available_bytes: What could be used without swapping.
        disk_bytes: Size of the file system that holds the agent's state.
        disk_free_bytes: What is free there.
    """

    memory_bytes: int = 0
    memory_available_bytes: int = 0
    disk_bytes: int = 0
    disk_free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Instance:
    """One ComfyUI server on a node.

    Attributes:
        name: Name, unique on its node.
        state: What it is doing.
        state_reason: Why, for people.
        comfyui_version: Version of ComfyUI.
        runtime: Runtime that owns it: docker, process or attach.
        slots: Tasks that it can hold at once.
        held_attempts: Attempts that it holds.
        node_class_count: How many node classes it has.
        model_file_count: How many model files it has.
        model_file_bytes: Their size together; 0 where it is not known.
        memory_bytes: What its process holds of the host's memory; 0 where it is not known.
        resident_models: Model files in its memory as far as its agent can know, the one unused for longest first.
        gpu_class: Class of its GPU, or empty.
        vram_bytes: Memory of its GPU, 0 where not known.
        pool: The pool that it belongs to, or empty.
        labels: What its operator wrote on its pool, over what is written on its node.
        preload_problems: Why files that it was asked to load ahead of work are not loaded, a sentence each.
    """

    name: str
    state: InstanceState
    state_reason: str = ""
    comfyui_version: str = ""
    runtime: str = ""
    slots: int = 0
    held_attempts: int = 0
    node_class_count: int = 0
    model_file_count: int = 0
    model_file_bytes: int = 0
    memory_bytes: int = 0
    resident_models: tuple[str, ...] = ()
    gpu_class: str = ""
    vram_bytes: int = 0
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    preload_problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """Instances of one node that are alike. One without `max` is a name only, of instances that run by themselves.

    Attributes:
        name: Resource name, ``nodes/{node}/pools/{pool}``. Tasks ask for the last part.
        runtime: What owns its instances: docker, process or attach.
        image: Image of its containers, or empty.
        gpu_uuids: GPUs that its instances are bound to in turn.
        instances_per_gpu: How many of them may share a GPU; 0 where they are bound to none.
        shared: Whether its instances may run on a GPU beside those of other pools that are shared as well.
        min: So many run, whatever waits; None where its agent does not start and stop them.
        max: No more run; None likewise.
        idle_time: One beyond `min` is stopped once it has been idle for so long; None likewise.
        queue_time: So long may tasks wait for instances that run before one more is started; None likewise.
        memory_bytes: What an instance takes of the host's memory; 0 where nobody says.
        labels: What its operator wrote on it.
        startup_models: Model files that its instances load before they take tasks, by its settings.
        instances: Its instances, by name.
        serving_count: How many of them take tasks.
        limit_reason: Why no more of them run.
    """

    name: str
    runtime: str = ""
    image: str = ""
    gpu_uuids: tuple[str, ...] = ()
    instances_per_gpu: int = 0
    shared: bool = False
    min: int | None = None
    max: int | None = None
    idle_time: timedelta | None = None
    queue_time: timedelta | None = None
    memory_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    startup_models: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    serving_count: int = 0
    limit_reason: str = ""


@dataclass(frozen=True, slots=True)
class PreloadFile:
    """A model file, and what loads it.

    Attributes:
        name: The file, as `Model` has its name.
        input: Where graphs name it, ``{node class}.{input}``; without it, a class that needs nothing else.
    """

    name: str
    input: str = ""


@dataclass(frozen=True, slots=True)
class Preload:
    """Model files that instances of a node are asked to load ahead of work.

    Attributes:
        files: The files.
        pool: Only instances of this pool; empty for any.
        instance: Only this instance; empty for any.
    """

    files: tuple[PreloadFile, ...] = ()
    pool: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A GPU host of the mesh.

    Attributes:
        name: Resource name, ``nodes/{node}``.
        state: Whether it can be reached.
        availability: Whether it is meant to take work.
        labels: What the operator wrote on it.
        gpus: Its GPUs; none on a CPU host.
        instances: Its ComfyUI instances.
        agent_version: Version of its agent.
        last_report_time: When its last report arrived.
        host: What the host itself has left.
        wanted_availability: What an operator wants it to be.
        wanted_reason: Why, in the operator's words.
        pools: Its pools.
        preloads: What its instances are asked to load ahead of work.
    """

    name: str
    state: NodeState
    availability: Availability
    labels: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()
    instances: tuple[Instance, ...] = ()
    agent_version: str = ""
    last_report_time: datetime | None = None
    host: Host = field(default_factory=Host)
    wanted_availability: Availability = Availability.OPEN
    wanted_reason: str = ""
    pools: tuple[Pool, ...] = ()
    preloads: tuple[Preload, ...] = ()

    @property
    def held_attempts(self) -> int:
        """Attempts that its instances hold; none once it is drained."""
        return sum(instance.held_attempts for instance in self.instances)


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """An instance that has a model file.

    Attributes:
        node: Its node, ``nodes/{node}``.
        instance: The instance.
        resident: Whether the model is in its memory, as far as its agent can know.
        size_bytes: Size of the file there; 0 where it is not known.
    """

    node: str
    instance: str
    resident: bool = False
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, as graphs name it. Files of one name on several instances are taken for the same.

    Attributes:
        name: The name, relative to its models folder.
        inputs: Where graphs can name it, ``{node class}.{input}``.
        places: Instances that have it.
    """

    name: str
    inputs: tuple[str, ...] = ()
    places: tuple[ModelPlace, ...] = ()

    @property
    def resident_count(self) -> int:
        """How many instances hold it in memory."""
        return sum(place.resident for place in self.places)


@dataclass(frozen=True, slots=True)
class FleetCatalog:
    """What the fleet offers as a whole.

    Attributes:
        digest: Names its content.
        classes: Node class to what ComfyUI tells of it, as `GET /object_info` does. Written by whoever wrote the class.
    """

    digest: str
    classes: Mapping[str, Any] = field(repr=False)
