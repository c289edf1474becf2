"""What an operator may set for an instance: one model per runtime, told apart by `runtime`."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, field_validator, model_validator

InstanceName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
"""Name of an instance, unique on its node. It becomes part of container names and paths."""

GpuUuid = Annotated[str, Field(pattern=r"^(GPU|MIG)-[0-9a-zA-Z/-]+$")]

FixedPort = Annotated[int, Field(ge=0, le=65535)]

_OURS = ("--listen", "--port", "--input-directory", "--output-directory", "--temp-directory")
_OURS_ON_A_HOST = (*_OURS, "--user-directory", "--database-url")
"""Flags of ComfyUI that the agent gives: where it listens, and what no two instances may share."""

_CARE = frozenset({"recycle_memory_bytes", "recycle_prompts", "pool", "pull"})
"""What changes nothing of the process."""


class _Spec(BaseModel):
    """What every instance may be given.

    Attributes:
        name: Its name.
        pool: The pool that it belongs to, which tasks can ask for; None: that of the node.
        recycle_memory_bytes: An instance that holds more of the host's memory is started afresh between two prompts.
        recycle_prompts: So is one that has executed so many prompts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: InstanceName
    pool: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = None
    recycle_memory_bytes: Annotated[int, Field(ge=64 * 1024 * 1024)] | None = None
    recycle_prompts: Annotated[int, Field(ge=1)] | None = None

    @cached_property
    def digest(self) -> str:
        """Hash of every setting of the process that is set: an instance that runs under another digest is replaced.

        Those that are not set do not count, so that a setting which a later agent knows makes no difference by itself.
        """
        settings = self.model_dump(mode="json", exclude=set(_CARE), exclude_defaults=True)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class AttachSpec(_Spec):
    """A ComfyUI that someone else runs.

    Attributes:
        url: Where it answers, for instance `http://127.0.0.1:8188`.
    """

    runtime: Literal["attach"] = "attach"
    url: HttpUrl

    @field_validator("url")
    @classmethod
    def _only_a_place(cls, url: HttpUrl) -> HttpUrl:
        if url.query is not None or url.fragment is not None:
            raise ValueError(
                "what follows `?` or `#` is sent with no request; leave it out, and where the server wants a password, "
                "give it as http://name:password@host"
            )
        return url


class ProcessSpec(_Spec):
    """A ComfyUI that the agent starts as a process of this host.

    Attributes:
        directory: Folder that holds ComfyUI's `main.py`. Models and custom nodes are taken from it; inputs, outputs,
            temporary and user files are kept apart for each instance.
        python: Interpreter that has ComfyUI's requirements, used with `directory`.
        command: In place of `directory`: a program that takes ComfyUI's flags. It is given a base directory of its own.
        arguments: Further flags.
        environment: Added to the few variables that are passed on; the agent's own settings never are.
        port: Port on the loopback interface; 0 lets the agent choose.
    """

    runtime: Literal["process"] = "process"
    directory: Path | None = None
    python: str = "python3"
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    port: FixedPort = 0

    @model_validator(mode="after")
    def _one_program(self) -> ProcessSpec:
        if (self.directory is None) == (not self.command):
            message = "set either `directory` (a ComfyUI folder) or `command` (a program that takes ComfyUI's flags)"
            raise ValueError(message)
        _leave_ours(self.arguments, (*_OURS_ON_A_HOST, "--base-directory") if self.command else _OURS_ON_A_HOST)
        return self


class DockerSpec(_Spec):
    """A ComfyUI in a container.

    Attributes:
        image: Any image that serves ComfyUI's API on a port, best pinned by its digest. Pulled only when absent.
        command: Program in the container that takes ComfyUI's flags; empty: the image's entry point does.
        arguments: Further flags.
        environment: Variables of the container.
        user: User (and group) in the container; None: the image's.
        gpu_uuid: The one GPU that the container sees; None: no GPU.
        memory_bytes: Memory limit, swap included; None: no limit.
        cpus: CPU limit; None: no limit.
        shm_bytes: Size of `/dev/shm`, which torch's data workers need.
        models_directory: Folder of the host with models, mounted read-only.
        models_path: Where the image looks for models.
        data_path: Where the instance's own volume is mounted, for inputs, outputs and temporary files. The image's user
            must be able to write there: make the folder in the image, and a new volume takes over its owner.
        container_port: Port that ComfyUI listens on in the container.
        port: Port on the host's loopback interface; 0 lets the engine choose.
        engine: Address of the Docker Engine.
        pull: Whether an absent image may be pulled.
    """

    runtime: Literal["docker"] = "docker"
    image: Annotated[str, Field(min_length=1)]
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    user: str | None = None
    gpu_uuid: GpuUuid | None = None
    memory_bytes: Annotated[int, Field(ge=64 * 1024 * 1024)] | None = None
    cpus: Annotated[float, Field(ge=0.01)] | None = None
    shm_bytes: Annotated[int, Field(ge=1024 * 1024)] = 1024 * 1024 * 1024
    models_directory: Path | None = None
    models_path: PurePosixPath = PurePosixPath("/opt/ComfyUI/models")
    data_path: PurePosixPath = PurePosixPath("/var/lib/comfyui")
    container_port: Annotated[int, Field(ge=1, le=65535)] = 8188
    port: FixedPort = 0
    engine: str = "unix:///var/run/docker.sock"
    pull: bool = True

    @model_validator(mode="after")
    def _paths(self) -> DockerSpec:
        _leave_ours(self.arguments, _OURS)
        for path in (self.models_directory, self.models_path, self.data_path):
            if path is not None and not path.is_absolute():
                raise ValueError(f"{path} must be an absolute path")
        return self


def _leave_ours(arguments: tuple[str, ...], ours: tuple[str, ...]) -> None:
    for argument in arguments:
        flag = argument.partition("=")[0]
        # ComfyUI takes the beginning of a flag for the flag.
        if len(flag) > len("--") and any(each.startswith(flag) for each in ours):
            raise ValueError(
                f"{flag} is not for `arguments`: the agent chooses where an instance listens and keeps its files, so "
                "that nobody else reaches it and no other clears them; remove it"
            )


InstanceSpec = Annotated[AttachSpec | ProcessSpec | DockerSpec, Field(discriminator="runtime")]


def models_directory(spec: InstanceSpec) -> Path | None:
    """The folder of this host that holds an instance's models; None where that is not known."""
    match spec:
        case DockerSpec():
            return spec.models_directory
        case ProcessSpec(directory=Path() as directory):
            return directory / "models"
        case _:
            return None


INSTANCE_SPECS: TypeAdapter[list[AttachSpec | ProcessSpec | DockerSpec]] = TypeAdapter(list[InstanceSpec])
"""Reads a list of specs, as settings hold it."""
