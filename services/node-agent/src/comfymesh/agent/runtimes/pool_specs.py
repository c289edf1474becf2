"""What an operator may set for a pool: one kind of instance, and how many of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from comfymesh.agent.runtimes.specs import DockerSpec, GpuUuid, InstanceSpec, ProcessSpec
from comfymesh.runtime.validation import said

_OWN = frozenset({"name", "gpu_uuid", "port", "pool"})
"""What each instance of a pool has of its own."""
_INSTANCE: TypeAdapter[Any] = TypeAdapter(InstanceSpec)
_MOST = 64


class PreloadSpec(BaseModel):
    """A model file that an instance loads before it takes tasks.

    Attributes:
        node_class: Class of the graph node that loads it, such as `CheckpointLoaderSimple`.
        input: The node's input that names the file, such as `ckpt_name`.
        name: The file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_class: Annotated[str, Field(min_length=1, max_length=256)]
    input: Annotated[str, Field(min_length=1, max_length=256)]
    name: Annotated[str, Field(min_length=1, max_length=1024)]


class PoolSpec(BaseModel):
    """Instances that are alike and come and go with what there is to do.

    Attributes:
        name: Its name, which tasks can ask for. Instances are called by it, as `name-0`.
        instance: Settings of each instance, as in COMFYMESH_AGENT_INSTANCES, without `name`, `gpu_uuid` and `port`.
        gpus: GPUs that its instances are bound to in turn; none: they are bound to none.
        instances_per_gpu: How many of them may share a GPU.
        shared: Whether its instances may run on a GPU while others do: those of pools that are shared as well, or such
            as always run. Otherwise a GPU that two pools name is used by one of them at a time.
        min: So many run, whatever waits; as many as `max`, if not set. With 0, none runs while nothing needs it.
        max: No more run; as many as the GPUs allow, if not set.
        idle_seconds: One beyond `min` is stopped once it has had nothing to do for so long.
        queue_seconds: So long may tasks wait for instances that run before one more is started.
        memory_bytes: What an instance takes of the host's memory. None is started where less is available. Not set: its
            memory limit, if it has one.
        labels: Labels that its tasks can ask for, over those of the node.
        warm_up: File of the host with a workflow in ComfyUI's API format that an instance runs before it takes tasks.
        preload: Model files that it loads before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
    instance: Mapping[str, Any]
    gpus: tuple[GpuUuid, ...] = ()
    instances_per_gpu: Annotated[int, Field(ge=1, le=16)] = 1
    shared: bool = False
    min: Annotated[int, Field(ge=0, le=_MOST)] | None = None
    max: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    idle_seconds: Annotated[float, Field(ge=1, le=30 * 86400)] = 600.0
    queue_seconds: Annotated[float, Field(ge=0, le=86400)] = 60.0
    memory_bytes: Annotated[int, Field(ge=0)] | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    warm_up: Path | None = None
    preload: tuple[PreloadSpec, ...] = ()

    @property
    def size(self) -> int:
        """How many of its instances may run."""
        room = len(self.gpus) * self.instances_per_gpu
        return self.max or room or self.min or 1

    @property
    def least(self) -> int:
        """How many of them always run."""
        return self.size if self.min is None else self.min

    @property
    def host_memory_bytes(self) -> int:
        """What an instance takes of the host's memory; 0 where nobody says."""
        limit = self.instance.get("memory_bytes") if self.memory_bytes is None else self.memory_bytes
        return limit or 0

    @cached_property
    def members(self) -> tuple[InstanceSpec, ...]:
        """Its instances, in the order in which they are started: each GPU has one before any has two."""
        return tuple(self._member(number) for number in range(self.size))

    def _member(self, number: int) -> InstanceSpec:
        settings: dict[str, Any] = {**self.instance, "name": f"{self.name}-{number}", "pool": self.name}
        gpu = self.gpus[number % len(self.gpus)] if self.gpus else None
        if gpu is not None and self.instance.get("runtime") == "docker":
            settings["gpu_uuid"] = gpu
        if gpu is not None and self.instance.get("runtime") == "process":
            settings["environment"] = {"CUDA_VISIBLE_DEVICES": gpu, **settings.get("environment", {})}
        spec: InstanceSpec = _INSTANCE.validate_python(settings)
        return spec

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        room = len(self.gpus) * self.instances_per_gpu
        if self.least > self.size:
            raise ValueError(f"pool {self.name}: `min` is {self.least}, and `max` {self.size}")
        if room and self.size > room:
            raise ValueError(f"pool {self.name}: `max` is {self.size}, and its GPUs have room for {room}")
        if own := sorted(_OWN & self.instance.keys()):
            raise ValueError(f"pool {self.name}: each instance has its own {', '.join(own)}; leave that out")
        try:
            first = self.members[0]
        except ValidationError as error:
            wrong = "; ".join(f"{_path(part['loc'][1:])}{said(part)}" for part in error.errors())
            raise ValueError(f"pool {self.name}: `instance` can't be read: {wrong}") from None
        if not isinstance(first, DockerSpec | ProcessSpec):
            raise ValueError(  # noqa: TRY004  # a value of the wrong kind, not a type error
                f"pool {self.name}: what somebody else runs can't be started and stopped; name it in"
                ' COMFYMESH_AGENT_INSTANCES, with `"pool"` if it is to belong to one'
            )
        return self


def _path(location: tuple[str | int, ...]) -> str:
    """Where in an instance something is wrong; nothing where that is of all of it."""
    return f"{'.'.join(map(str, location))}: " if location else ""
