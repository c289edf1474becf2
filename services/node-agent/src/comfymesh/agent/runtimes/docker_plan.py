"""What a spec comes to in terms of containers: names, labels, flags, mounts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfymesh.agent.runtimes.specs import DockerSpec

NODE_LABEL = "comfymesh.node"
INSTANCE_LABEL = "comfymesh.instance"
SPEC_LABEL = "comfymesh.spec"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a container, volume or network is: one instance of one node."""

    node: str
    instance: str

    @property
    def name(self) -> str:
        """Name of the instance's container, volume and network.

        It follows from the owner alone: a create whose answer was lost finds its name taken instead of making a double.
        """
        return f"comfymesh-{self.node}-{self.instance}"

    @property
    def labels(self) -> dict[str, str]:
        """Labels of everything that belongs to the instance."""
        return {NODE_LABEL: self.node, INSTANCE_LABEL: self.instance}

    def owns(self, labels: dict[str, str]) -> bool:
        """Whether something with these labels is this owner's."""
        return labels.items() >= self.labels.items()


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """A container to be made.

    Attributes:
        digest: Of the settings: a container that was made by others is replaced once it holds nothing.
        entrypoint: Program in place of the image's; empty: the image's.
        command: Arguments of the program.
        models: Folder of the host and where it is mounted, read-only; None: no models are mounted.
        data_path: Where the instance's volume is mounted.
        host_port: On the loopback interface; 0: the engine chooses.
    """

    owner: Owner
    digest: str
    image: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    user: str | None
    gpu_uuid: str | None
    memory_bytes: int | None
    cpus: float | None
    shm_bytes: int
    models: tuple[str, str] | None
    data_path: str
    container_port: int
    host_port: int

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the container."""
        return self.owner.labels | {SPEC_LABEL: self.digest}


def plan(spec: DockerSpec, owner: Owner) -> ContainerPlan:
    """Return the container that the spec asks for."""
    models = spec.models_directory
    return ContainerPlan(
        owner=owner,
        digest=spec.digest,
        image=spec.image,
        entrypoint=spec.command,
        command=(*_flags(spec), *spec.arguments),
        environment=spec.environment,
        user=spec.user,
        gpu_uuid=spec.gpu_uuid,
        memory_bytes=spec.memory_bytes,
        cpus=spec.cpus,
        shm_bytes=spec.shm_bytes,
        models=None if models is None else (str(models), str(spec.models_path)),
        data_path=str(spec.data_path),
        container_port=spec.container_port,
        host_port=spec.port,
    )


def _flags(spec: DockerSpec) -> tuple[str, ...]:
    """ComfyUI's flags: every interface of the container, which no other reaches; files that it writes on the volume."""
    return (
        *("--listen", "0.0.0.0"),  # noqa: S104
        *("--port", str(spec.container_port)),
        *("--input-directory", str(spec.data_path / "input")),
        *("--output-directory", str(spec.data_path / "output")),
        *("--temp-directory", str(spec.data_path)),
    )
