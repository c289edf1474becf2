"""What is wrong with a mesh, judged by what its nodes and its queue show. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from comfymesh.cli.text import duration, one_line, short_name, size
from comfymesh.client import Availability, Instance, InstanceState, Node, NodeState, Queue

_SCARCE = 0.05
"""Share of memory or disk below which a host is in trouble soon."""
_HOT_CELSIUS = 90
"""GPUs slow themselves down from about here."""
_LONG_WAIT = 600.0
"""Seconds that the oldest task may wait before it is worth a word, where nobody knows when it begins."""
_SICK = {InstanceState.DOWN, InstanceState.QUARANTINED}
_SERVING = {InstanceState.READY, InstanceState.BUSY}


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes:
        level: How bad it is.
        what: What was found, in a sentence.
        advice: What to do; empty where there is nothing to do.
    """

    level: Level
    what: str
    advice: str = ""


def of_nodes(nodes: Sequence[Node]) -> Iterator[Finding]:
    """What the nodes show."""
    if not nodes:
        yield Finding(
            Level.FAILURE,
            "no node has reported",
            "install an agent on a GPU host; on the host, `comfymesh-agent check` says what is missing",
        )
        return
    serving = [node for node in nodes if _serves(node)]
    told = f"{len(serving)} of {len(nodes)} nodes can run tasks"
    yield Finding(Level.OK, told) if serving else Finding(Level.FAILURE, told, "see below what each of them lacks")
    for node in nodes:
        yield from _of_node(node)
    versions = sorted({node.agent_version for node in nodes if node.agent_version})
    if len(versions) > 1:
        what = f"agents are of different versions: {', '.join(map(one_line, versions))}"
        yield Finding(Level.WARNING, what, "upgrade those that are behind")


def of_queue(queue: Queue, now: datetime) -> Iterator[Finding]:
    """What the queue shows."""
    total = queue.total
    told = f"{total.waiting_count} tasks wait and {total.running_count} run"
    oldest = (now - total.oldest_create_time).total_seconds() if total.oldest_create_time else 0.0
    if total.waiting_count and total.start is None and oldest > _LONG_WAIT:
        what = f"{told}; the oldest has waited for {duration(oldest)}, and nobody knows when it begins"
        yield Finding(Level.WARNING, what, "`comfymesh list --state queued` and `comfymesh get TASK` say why they wait")
    else:
        yield Finding(Level.OK, told)


def _serves(node: Node) -> bool:
    able = node.state is NodeState.ACTIVE and node.availability is Availability.OPEN
    return able and any(instance.state in _SERVING for instance in node.instances)


def _of_node(node: Node) -> Iterator[Finding]:
    name = short_name(node.name)
    if node.state is NodeState.UNREACHABLE:
        advice = f"on the host: systemctl status comfymesh-agent; journalctl -u comfymesh-agent -n 50 ({name})"
        yield Finding(Level.WARNING, f"{name} does not report", advice)
        return
    if node.availability is not Availability.OPEN:
        why = f" ({one_line(node.wanted_reason)})" if node.wanted_reason else ""
        what = f"{name} takes no new work: {node.availability.lower()}{why}"
        yield Finding(Level.WARNING, what, f"comfymesh uncordon {name}")
    if not node.instances:
        yield Finding(Level.WARNING, f"{name} has no ComfyUI instance", "name a runtime in the agent's settings")
    for instance in node.instances:
        yield from _of_instance(name, instance)
    yield from _of_host(name, node)


def _of_instance(node: str, instance: Instance) -> Iterator[Finding]:
    if instance.state in _SICK:
        why = one_line(instance.state_reason) or "no reason is known"
        advice = "docs/failures.md says what each reason means; the agent goes on trying"
        yield Finding(Level.WARNING, f"{node}/{one_line(instance.name)} is {instance.state.lower()}: {why}", advice)


def _of_host(name: str, node: Node) -> Iterator[Finding]:
    host = node.host
    for what, free, whole in (
        ("disk", host.disk_free_bytes, host.disk_bytes),
        ("memory", host.memory_available_bytes, host.memory_bytes),
    ):
        if whole and free < whole * _SCARCE:
            yield Finding(Level.WARNING, f"{name} is short of {what}: {size(free)} of {size(whole)} left", "make room")
    for gpu in node.gpus:
        if gpu.uncorrected_errors:
            what = f"{name}: {one_line(gpu.model)} has {gpu.uncorrected_errors} uncorrected memory errors"
            yield Finding(Level.WARNING, what, f"comfymesh drain {name}, then look at nvidia-smi -q -d ECC")
        if gpu.temperature_celsius is not None and gpu.temperature_celsius >= _HOT_CELSIUS:
            yield Finding(Level.WARNING, f"{name}: {one_line(gpu.model)} is at {gpu.temperature_celsius} C", "cool it")
