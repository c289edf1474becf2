"""Settings of the agent."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import Field, field_validator, model_validator

from comfymesh import names
from comfymesh.agent.runtimes.gpu_clashes import gpu_clashes
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.runtimes.specs import DockerSpec, InstanceSpec
from comfymesh.egress.settings import EgressSettings, InputUrlSettings
from comfymesh.runtime.settings import MAY_BE_SECRET


def _host() -> str:
    """The host's name."""
    first = socket.gethostname().lower().partition(".")[0]
    return re.sub(r"[^a-z0-9-]", "-", first).strip("-")[:63] or "node"


NAME = r"^([a-z0-9][a-z0-9-]{0,62})?$"
"""What tasks can ask for by name; empty for nothing."""


class AgentSettings(EgressSettings, InputUrlSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    agent_node: str = Field(default_factory=_host, description="Name of this node, unique in the mesh.")
    agent_own_account: bool = Field(
        default=False,
        description="Whether this node's NATS user is in an account of the node's own, and reaches nothing else. See"
        " docs/nats.md.",
    )
    agent_instances: list[InstanceSpec] = Field(
        default_factory=list,
        description="The ComfyUI instances of this node, a JSON list. See docs/agent.md.",
        json_schema_extra=MAY_BE_SECRET,
    )
    agent_pools: list[PoolSpec] = Field(
        default_factory=list,
        description="Instances that come and go with what there is to do, a JSON list. See docs/agent.md.",
        json_schema_extra=MAY_BE_SECRET,
    )
    agent_memory_reserve_bytes: int = Field(
        default=1024**3,
        ge=0,
        description="What is to stay free of the host's memory, in bytes: where less is, no instance of a pool is"
        " started, and idle ones are stopped.",
    )
    agent_labels: dict[str, str] = Field(default_factory=dict, description="Labels of this node, a JSON object.")
    agent_gpu_class: str = Field(
        default="",
        pattern=NAME,
        description="Class of this node's GPUs, for instance nvidia-l40s, for tasks that ask for one.",
    )
    agent_vram_bytes: int = Field(default=0, ge=0, description="Memory of each GPU of this node, in bytes; 0: unknown.")
    agent_pool: str = Field(default="", pattern=NAME, description="The pool that this node's instances belong to.")
    agent_state_directory: Path = Field(
        default=Path("/var/lib/comfymesh-agent"),
        description="Where process instances keep their files, and the agent its secret.",
    )
    agent_mount_roots: list[PurePosixPath] = Field(
        default_factory=list,
        description="Folders below which the models of containers must be, a JSON list. Empty: anywhere but in folders"
        " of the system.",
    )
    agent_require_digests: bool = Field(
        default=False, description="Refuse images that are not pinned by their digest, as `name@sha256:...`."
    )
    agent_look_ahead: int = Field(
        default=1,
        ge=0,
        le=4,
        description="Attempts that wait at an instance beside the running one, so it never idles.",
    )
    agent_reload_file: Path = Field(
        default=Path("/run/comfymesh-agent/agent.env"),
        description="File of NAME=VALUE lines with all of the agent's settings, which it reads on SIGHUP."
        " `comfymesh-agent reload` brings it there.",
    )
    agent_report_seconds: float = Field(default=2.0, gt=0, description="How often the node reports itself. Seconds.")
    agent_drain_seconds: float = Field(
        default=30.0, ge=0, description="How long running attempts may take to end when the agent stops. Seconds."
    )
    agent_stop_instances: bool = Field(
        default=False,
        description="Stop the instances when the agent stops. Otherwise they run on, and the next agent adopts them.",
    )
    agent_previews: bool = Field(default=True, description="Have ComfyUI make previews of the work in progress.")
    agent_max_artifact_bytes: int = Field(
        default=4 * 1024**3, gt=0, description="Largest output that is stored, in bytes."
    )
    agent_max_input_bytes: int = Field(
        default=100 * 1024**2, gt=0, description="Largest file that is fetched for an input by URL, in bytes."
    )
    agent_input_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long the files that an attempt reads by URL may take together. Seconds.",
    )

    agent_stall_seconds: float = Field(
        default=900.0,
        gt=0,
        description="How long a graph node of a class that was not seen often yet may be silent before it counts as"
        " stuck. Seconds.",
    )
    agent_stall_floor_seconds: float = Field(
        default=180.0,
        gt=0,
        description="The shortest such time for any other: five times the longest silence seen of its class. Seconds.",
    )
    agent_stall_unheard_seconds: float = Field(
        default=6 * 3600.0,
        gt=0,
        description="How long a prompt may execute whose events do not reach this agent: one that an earlier life or an"
        " earlier connection submitted. Seconds.",
    )
    agent_grace_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a stuck prompt is given to stop, then to stop once memory was freed, before its instance"
        " is started again. Seconds.",
    )
    agent_unanswered_seconds: float = Field(
        default=60.0, gt=0, description="How long an instance may answer nothing before it is started again. Seconds."
    )
    agent_start_seconds: float = Field(
        default=1800.0, gt=0, description="How long an instance may take to answer after its start. Seconds."
    )
    agent_backoff_seconds: float = Field(
        default=30.0,
        gt=0,
        description="The longest wait before an instance that keeps ending is started again. Seconds.",
    )
    agent_quarantine_faults: int = Field(
        default=5, ge=1, description="So many crashes and faults of an instance within 30 minutes set it aside."
    )
    agent_quarantine_seconds: float = Field(
        default=300.0, gt=0, description="For how long it is set aside; doubled each time, up to an hour. Seconds."
    )

    @field_validator("agent_node")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not names.is_node_id(value):
            raise ValueError("must be 1 to 63 characters out of a-z0-9-, beginning with a letter or digit")
        return value

    @property
    def specs(self) -> list[InstanceSpec]:
        """Every instance that there may be, those of pools as well."""
        return [*self.agent_instances, *(spec for pool in self.agent_pools for spec in pool.members)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        pools = _repeated(pool.name for pool in self.agent_pools)
        if pools:
            raise ValueError(f"two pools have one name: {pools}")
        if names := _repeated(spec.name for spec in self.specs):
            raise ValueError(f"two instances have one name: {names}; those of a pool are called POOL-0, POOL-1, ...")
        return self

    @model_validator(mode="after")
    def _gpus_are_enough(self) -> Self:
        if clashes := list(gpu_clashes(self.agent_instances, self.agent_pools)):
            raise ValueError("; ".join(clashes))
        return self

    @model_validator(mode="after")
    def _images_are_pinned(self) -> Self:
        images = {spec.image: None for spec in self.specs if isinstance(spec, DockerSpec)}
        loose = [image for image in images if "@sha256:" not in image]
        if self.agent_require_digests and loose:
            raise ValueError(f"not pinned by a digest, as `name@sha256:...`: {', '.join(loose)}")
        return self


def _repeated(names: Iterable[str]) -> str:
    return ", ".join(name for name, count in Counter(names).items() if count > 1)
