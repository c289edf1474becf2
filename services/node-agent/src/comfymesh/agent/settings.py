"""Settings of the agent."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from pydantic import Field, field_validator

from comfymesh import names
from comfymesh.agent.runtimes.specs import InstanceSpec
from comfymesh.runtime.settings import ServiceSettings


def _host() -> str:
    first = socket.gethostname().lower().partition(".")[0]
    return re.sub(r"[^a-z0-9-]", "-", first).strip("-")[:63] or "node"


NAME = r"^([a-z0-9][a-z0-9-]{0,62})?$"
"""What tasks can ask for by name; empty for nothing."""


class AgentSettings(ServiceSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    agent_node: str = Field(
        default_factory=_host, description="Name of this node, unique in the mesh. Default: the host's name."
    )
    agent_own_account: bool = Field(
        default=False,
        description="Whether this node's NATS user is in an account of the node's own, and reaches nothing else. See"
        " docs/nats.md.",
    )
    agent_instances: list[InstanceSpec] = Field(
        default_factory=list, description="The ComfyUI instances of this node, a JSON list. See docs/agent.md."
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
        default=Path("/var/lib/comfymesh-agent"), description="Where process instances keep their files."
    )
    agent_look_ahead: int = Field(
        default=1,
        ge=0,
        le=4,
        description="Attempts that wait at an instance beside the running one, so it never idles.",
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

    @field_validator("agent_node")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not names.is_node_id(value):
            raise ValueError("must be 1 to 63 characters out of a-z0-9-, beginning with a letter or digit")
        return value
