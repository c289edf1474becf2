"""How tasks are scheduled, for people: the policy, the queue, and what a task tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from comfymesh.cli.columns import PlainTable
from comfymesh.cli.text import age, duration, one_line, short_name, size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from comfymesh.client import Estimate, Placement, Policy, Queue, Setting, Task, Waiting

_HEADINGS = ("OF", "WAITING", "RUNNING", "OLDEST", "NEXT IN")


def policy_details(policy: Policy, now: datetime) -> Table:
    """The policy: settings of the mesh, then of single tenants."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, value in policy.settings.items():
        table.add_row(one_line(name), _setting(value))
    for tenant, settings in policy.tenants.items():
        shown = ", ".join(f"{one_line(name)} {_setting(value)}" for name, value in settings.items())
        table.add_row(f"tenant {one_line(tenant)}", shown)
    table.add_row("changed", age(policy.update_time, now))
    return table


def queue_table(queue: Queue, now: datetime) -> PlainTable:
    """What waits and runs, a line for each part."""
    table = PlainTable(*_HEADINGS)
    parts = [("all", queue.total)]
    parts += [(f"tenant {one_line(name)}", share) for name, share in queue.tenants.items()]
    parts += [(f"priority {number}", share) for number, share in queue.priorities.items()]
    parts += [(one_line(" + ".join(models)) or "no models", share) for models, share in queue.model_sets]
    for name, share in parts:
        table.add_row(
            name,
            str(share.waiting_count),
            str(share.running_count),
            age(share.oldest_create_time, now) if share.oldest_create_time else "-",
            _estimate(share.start) if share.start else "-",
        )
    return table


def _setting(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _estimate(estimate: Estimate) -> str:
    return f"{duration(estimate.remaining.total_seconds())} +- {duration(estimate.error.total_seconds())}"


def scheduling_details(task: Task) -> Iterator[tuple[str, str]]:
    """What a task tells of where it may run, why it waits, and where its time went."""
    if task.waiting is not None:
        yield from _waiting(task.waiting)
    if task.timing is not None:
        load, run = task.timing.load.total_seconds(), task.timing.run.total_seconds()
        yield "of that", f"{duration(load)} loading models, {duration(run)} work"
    if task.placement is not None:
        yield "only on", ", ".join(_wishes(task.placement))


def _waiting(waiting: Waiting) -> Iterator[tuple[str, str]]:
    yield "waiting", one_line(waiting.reason)
    if waiting.start is not None:
        yield "begins in", _estimate(waiting.start)
    if waiting.end is not None:
        yield "ends in", _estimate(waiting.end)
    if waiting.node:
        yield "likely on", f"{short_name(waiting.node)}/{one_line(waiting.instance)}"


def _wishes(placement: Placement) -> Iterator[str]:
    yield from (f"{one_line(key)}={one_line(value)}" for key, value in sorted(placement.labels.items()))
    if placement.gpu_class:
        yield f"GPU class {one_line(placement.gpu_class)}"
    if placement.min_vram_bytes:
        yield f"at least {size(placement.min_vram_bytes)} of GPU memory"
    if placement.pool:
        yield f"pool {one_line(placement.pool)}"
