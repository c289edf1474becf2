"""Which conditions hold at a moment, by all that is known. Looked at anew each time, so a lost event costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from comfymesh.notifier.domain import rules as r
from comfymesh.notifier.domain.alerts import Signal
from comfymesh.notifier.domain.events import Gpu, Measured, NodeReported
from comfymesh.notifier.domain.rate import Rate
from comfymesh.notifier.domain.selecting import labels_of
from comfymesh.notifier.domain.state import KnownNode
from comfymesh.notifier.domain.values import like

BUS_ROLE = "nats"
"""The role that is silent when the bus can't be reached."""

_GIB = 2**30
_GOOD_FOR = 30.0
"""For so many seconds a report says how its node is. They come every few seconds."""


@dataclass(slots=True)
class View:
    """What is known of the mesh. Times are moved on by what could not be heard.

    Attributes:
        nodes: Nodes that have ever reported.
        rates: Counts of ended tasks, by `rate_key`.
        roles: When each role was heard last.
        deaf_since: Since when the bus is away; None while it is there.
        reports: The last report of each node that reports now.
        queue: How the queue stood last.
    """

    nodes: dict[str, KnownNode]
    rates: dict[str, Rate]
    roles: dict[str, float]
    deaf_since: float | None = None
    reports: dict[str, NodeReported] = field(default_factory=dict)
    queue: Measured = field(default_factory=lambda: Measured(0, 0.0))

    def listening(self, now: float) -> float:
        """Until when others could be heard."""
        return now if self.deaf_since is None else self.deaf_since


def is_silent(view: View, node: str, now: float) -> bool:
    """Whether what a node has reported says nothing any more: it has been silent for too long."""
    known = view.nodes.get(node)
    return known is not None and view.listening(now) - known.heard >= _GOOD_FOR


def rate_key(rule: r.FailureRate, labels: Mapping[str, str]) -> str:
    """Names what a rule counts for a group."""
    return "\0".join([rule.name, *labels.values()])


def holding(rule: r.Condition, view: View, now: float) -> Iterator[Signal]:
    """All that a rule has to complain about now."""
    match rule:
        case r.FailureRate():
            yield from _failure_rates(rule, view, now)
        case r.NodeLost():
            yield from _lost_nodes(rule, view, now)
        case r.GpuMemory() | r.GpuTemperature():
            yield from _gpus(rule, view, now)
        case r.DiskLow():
            yield from _disks(rule, view, now)
        case r.QueueLength() | r.QueueAge():
            yield from _queue(rule, view.queue)
        case r.StalledTask():
            yield from _stalled(rule, view)
        case r.Silent():
            yield from _silent(rule, view, now)


def _failure_rates(rule: r.FailureRate, view: View, now: float) -> Iterator[Signal]:
    for key, rate in view.rates.items():
        name, *values = key.split("\0")
        ended, failed = rate.counts(now)
        if name == rule.name and ended >= rule.minimum and failed > rule.above * ended:
            facts: dict[str, str] = dict(zip(rule.group_by, values, strict=False))
            said = f"{failed} of {ended} tasks that ended within {_seconds(rule.window)} have failed"
            yield _signal(rule, said, {**facts, "value": f"{failed / ended:.0%}"})


def _lost_nodes(rule: r.NodeLost, view: View, now: float) -> Iterator[Signal]:
    for node, known in view.nodes.items():
        silent = view.listening(now) - known.heard
        if silent >= rule.hold and not known.leaving and like(rule.nodes, node):
            facts = {"node": node, "value": _seconds(silent)}
            yield _signal(rule, f"node {node} does not report any more", facts, "silence")


def _gpus(rule: r.GpuMemory | r.GpuTemperature, view: View, now: float) -> Iterator[Signal]:
    for node, report in view.reports.items():
        for gpu in report.gpus if like(rule.nodes, node) and not is_silent(view, node, now) else ():
            value = _value_of(rule, gpu)
            if value is not None and value > rule.above:
                said = f"{value:g} °C" if isinstance(rule, r.GpuTemperature) else f"{value:.0%} of its memory in use"
                facts = {"node": node, "gpu": gpu.uuid, "value": said}
                yield _signal(rule, f"GPU {gpu.uuid} of {node}: {said}", facts, "report")


def _value_of(rule: r.GpuMemory | r.GpuTemperature, gpu: Gpu) -> float | None:
    return gpu.memory_used if isinstance(rule, r.GpuMemory) else gpu.temperature


def _disks(rule: r.DiskLow, view: View, now: float) -> Iterator[Signal]:
    for node, report in view.reports.items():
        free = None if is_silent(view, node, now) else report.free_disk
        if free is not None and free < rule.below and like(rule.nodes, node):
            said = f"{free / _GIB:.1f} GiB"
            yield _signal(rule, f"{said} are free on the disk of {node}", {"node": node, "value": said}, "report")


def _queue(rule: r.QueueLength | r.QueueAge, queue: Measured) -> Iterator[Signal]:
    if isinstance(rule, r.QueueLength) and queue.waiting > rule.above:
        yield _signal(rule, f"{queue.waiting} tasks wait", {"value": str(queue.waiting)})
    if isinstance(rule, r.QueueAge) and queue.oldest > rule.above:
        said = _seconds(queue.oldest)
        yield _signal(rule, f"the task that has waited longest has waited for {said}", {"value": said})


def _stalled(rule: r.StalledTask, view: View) -> Iterator[Signal]:
    for task, (seconds, facts) in view.queue.quiet.items():
        if seconds > rule.above:
            said = f"task {task} runs and has told nothing for {_seconds(seconds)}"
            yield _signal(rule, said, {**facts, "task": task, "value": _seconds(seconds)}, "silence")


def _silent(rule: r.Silent, view: View, now: float) -> Iterator[Signal]:
    for role in rule.roles:
        # While the bus is away nobody else can be heard.
        silent = now - view.listening(now) if role == BUS_ROLE else view.listening(now) - view.roles.get(role, now)
        if silent >= max(rule.hold, 1.0):
            facts = {"role": role, "value": _seconds(silent)}
            yield _signal(rule, f"nothing is heard of {role}", facts, "silence")


def _signal(rule: r.Condition, said: str, facts: Mapping[str, str], path: str = "log") -> Signal:
    return Signal(rule.name, labels_of(rule, facts), rule.severity, said, facts, path)


def _seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
