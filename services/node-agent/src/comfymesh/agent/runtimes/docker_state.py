"""What a Docker Engine answers of a container. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What the engine says of a container.

    Attributes:
        status: The engine's word: created, running, paused, exited, dead ...
        exit_code: Of its last run.
        out_of_memory: Whether its last run was killed at its memory limit.
        error: What the engine says went wrong when it started; empty when nothing did.
        labels: As they were set when it was made.
        ports: Ports on the host, by port in the container; known only while it runs.
    """

    status: str
    exit_code: int
    out_of_memory: bool
    error: str
    labels: dict[str, str]
    ports: dict[int, int]

    @property
    def running(self) -> bool:
        """Whether its processes execute."""
        return self.status == "running"


def state_of(attributes: dict[str, Any]) -> ContainerState:
    """The state in what the engine answers of a container."""
    state = attributes["State"]
    published = attributes["NetworkSettings"]["Ports"] or {}
    return ContainerState(
        status=state["Status"],
        exit_code=state["ExitCode"],
        out_of_memory=state["OOMKilled"],
        error=state["Error"],
        labels=attributes["Config"]["Labels"] or {},
        ports={int(port.partition("/")[0]): int(hosts[0]["HostPort"]) for port, hosts in published.items() if hosts},
    )


def memory_of(memory: dict[str, Any]) -> int | None:
    """What a container holds; the engine gives nothing for one that has ended. Names differ by version of cgroups."""
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    return max(0, int(memory["usage"]) - int(cache))
