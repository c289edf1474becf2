"""Tables and details for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from comfymesh.cli.columns import PlainTable
from comfymesh.cli.scheduling_tables import scheduling_details
from comfymesh.cli.text import age, clean, duration, one_line, percent, short_name, size
from comfymesh.client import Availability, Gpu, InstanceState, NodeState, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from comfymesh.client import Asset, DeadLetter, Group, Node, Task, TaskError

_STYLES = {
    TaskState.SUCCEEDED: "green",
    TaskState.FAILED: "red",
    TaskState.RUNNING: "cyan",
    TaskState.CANCELLING: "yellow",
    TaskState.CANCELLED: "yellow",
    TaskState.EXPIRED: "yellow",
    NodeState.ACTIVE: "green",
    NodeState.UNREACHABLE: "red",
    Availability.OPEN: "green",
    Availability.CORDONED: "yellow",
    Availability.DRAINING: "yellow",
    InstanceState.READY: "green",
    InstanceState.BUSY: "cyan",
    InstanceState.STARTING: "yellow",
    InstanceState.DOWN: "red",
    InstanceState.RETIRING: "yellow",
    InstanceState.QUARANTINED: "red",
    InstanceState.STOPPED: "dim",
}


def task_table(tasks: Sequence[Task], now: datetime) -> PlainTable:
    """Tasks, a line for each."""
    table = PlainTable("TASK", "STATE", "CREATED", "TOOK", "NODE", "NAME")
    for task in tasks:
        table.add_row(
            short_name(task.name),
            _state(task.state),
            age(task.create_time, now),
            took(task, now),
            short_name(task.node) or "-",
            one_line(task.display_name),
        )
    return table


def asset_table(assets: Sequence[Asset], now: datetime) -> PlainTable:
    """Assets, a line for each."""
    table = PlainTable("ASSET", "SIZE", "TYPE", "STORED", "USED", "NAME")
    for asset in assets:
        table.add_row(
            short_name(asset.name)[:16],
            size(asset.size_bytes),
            one_line(asset.media_type),
            age(asset.create_time, now),
            age(asset.use_time, now),
            one_line(asset.filename),
        )
    return table


def dead_letter_table(letters: Sequence[DeadLetter], now: datetime) -> PlainTable:
    """Dead letters, a line for each."""
    table = PlainTable("TASK", "FAILED", "REASON", "ATTEMPTS", "NODE", "RESOLVED", "MESSAGE")
    for letter in letters:
        task, error = letter.task, letter.task.error
        table.add_row(
            short_name(task.name),
            age(task.end_time, now),
            one_line(error.reason) if error else "-",
            str(task.attempt),
            short_name(task.node) or "-",
            _resolution(task),
            one_line(error.message if error else task.state_reason),
        )
    return table


def dead_letter_details(letter: DeadLetter, now: datetime) -> Table:
    """All about one dead letter, with the evidence."""
    table = task_details(letter.task, now)
    for failure in letter.failures:
        where = f"{short_name(failure.node)}/{one_line(failure.instance)}"
        table.add_row(f"attempt {failure.attempt}", f"{failure.reason} on {where}, {age(failure.time, now)}")
    return table


def _resolution(task: Task) -> str:
    if task.dead_letter_resolution is None:
        return "-"
    if task.requeued_as:
        return f"requeued as {short_name(task.requeued_as)}"
    return task.dead_letter_resolution.lower()


def node_table(nodes: Sequence[Node], now: datetime) -> PlainTable:
    """Nodes, a line for each instance."""
    table = PlainTable(
        "NODE", "STATE", "TAKES WORK", "GPUS", "INSTANCE", "POOL", "STATE", "HELD", "COMFYUI", "RUNTIME", "REPORT"
    )
    for node in nodes:
        mine = (
            short_name(node.name),
            _state(node.state),
            _availability(node),
            gpus(node),
        )
        for index, instance in enumerate(node.instances):
            table.add_row(
                *(mine if index == 0 else ("",) * len(mine)),
                one_line(instance.name),
                one_line(instance.pool) or "-",
                _state(instance.state),
                f"{instance.held_attempts}/{instance.slots}",
                one_line(instance.comfyui_version) or "-",
                one_line(instance.runtime) or "-",
                age(node.last_report_time, now) if index == 0 else "",
            )
        if not node.instances:
            table.add_row(*mine, *"------", age(node.last_report_time, now))
    return table


def _availability(node: Node) -> Text:
    """What it is, and what it should be where that is something else."""
    shown = _state(node.availability)
    if node.wanted_availability not in {node.availability, Availability.UNKNOWN}:
        shown.append(f" (to be {node.wanted_availability.lower()})", style="yellow")
    return shown


def gpus(node: Node) -> str:
    """The GPUs of a node, equal ones counted, and how busy each is."""
    counts: dict[str, list[str]] = {}
    for gpu in node.gpus:
        counts.setdefault(f"{one_line(gpu.model)} {size(gpu.memory_bytes)}", []).append(_load(gpu))
    shown = (kind if len(loads) == 1 else f"{len(loads)} x {kind}" for kind, loads in counts.items())
    return ", ".join(f"{kind}{_loads(loads)}" for kind, loads in zip(shown, counts.values(), strict=True)) or "none"


def _load(gpu: Gpu) -> str:
    """As `37 % 65 C`, and what is wrong with it."""
    told = [
        "" if gpu.utilization_percent is None else f"{gpu.utilization_percent} %",
        "" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius} C",
        f"{gpu.uncorrected_errors} memory errors" if gpu.uncorrected_errors else "",
    ]
    return " ".join(filter(None, told))


def _loads(loads: Sequence[str]) -> str:
    return f" ({', '.join(load or '-' for load in loads)})" if any(loads) else ""


def took(task: Task, now: datetime) -> str:
    """How long the present or last attempt has been, or was, under way."""
    if task.start_time is None:
        return "-"
    return duration(((task.end_time or now) - task.start_time).total_seconds())


def task_details(task: Task, now: datetime) -> Table:
    """All about one task."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in _details(task, now):
        table.add_row(name, value)
    return table


def group_details(group: Group, now: datetime) -> Table:
    """All about a group."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("group", one_line(group.name))
    table.add_row("done", f"{percent(group.fraction)} of {group.task_count} tasks")
    for state, count in group.counts.items():
        table.add_row("", Text.assemble(f"{count} ", _state(state)))
    table.add_row("created", age(group.create_time, now))
    if group.end_time is not None:
        table.add_row("ended", age(group.end_time, now))
    return table


def _details(task: Task, now: datetime) -> Iterator[tuple[str, Text | str]]:
    yield "task", task.name
    if task.display_name:
        yield "name", one_line(task.display_name)
    yield "state", _state(task.state)
    if task.state_reason:
        yield "because", one_line(task.state_reason)
    yield "created", age(task.create_time, now)
    if task.start_time is not None:
        yield "took", took(task, now)
    if task.node:
        yield "node", f"{short_name(task.node)}/{one_line(task.instance)}, attempt {task.attempt}"
    yield from scheduling_details(task)
    yield from _requeueing(task)
    if task.workflow:
        yield "workflow", f"{short_name(task.workflow)}@{one_line(task.workflow_version.rpartition('/')[2])}"
    if task.group:
        yield "group", short_name(task.group)
    for key, value in sorted(task.labels.items()):
        yield "label", f"{one_line(key)}={one_line(value)}"
    for artifact in task.artifacts:
        about = (
            f"{size(artifact.size_bytes)}, {one_line(artifact.media_type)}, graph node {one_line(artifact.graph_node)}"
        )
        yield "artifact", f"{one_line(artifact.filename)} ({about})"
    if task.error is not None:
        yield from _error(task.error)


def _requeueing(task: Task) -> Iterator[tuple[str, Text | str]]:
    if task.requeued_from:
        yield "made of", short_name(task.requeued_from)
    if task.dead_letter_resolution is not None:
        yield "resolved", _resolution(task)


def _error(error: TaskError) -> Iterator[tuple[str, Text | str]]:
    yield "error", Text(f"{clean(error.message)} ({error.reason})", style="red")
    for key, value in sorted(error.metadata.items()):
        yield "", f"{one_line(key)}: {one_line(value)}"
    if error.traceback:
        yield "traceback", Text(clean(error.traceback), style="dim")
    if error.log_tail:
        yield "log tail", Text(clean(error.log_tail), style="dim")


def _state(state: TaskState | NodeState | Availability | InstanceState) -> Text:
    return Text(state.lower(), style=_STYLES.get(state, ""))
