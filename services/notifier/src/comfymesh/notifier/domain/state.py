"""All that the notifier must not forget. Stored as one message, so that a change of it happens whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field

from comfymesh.notifier.domain.alerts import Alert, Notice, Numbering
from comfymesh.notifier.domain.rate import Rate


@dataclass(slots=True)
class KnownNode:
    """A node that has reported: when last, whether it was leaving, and whether each instance was down.

    While nobody could hear it, time stands still: `heard` is moved on by that.
    """

    heard: float
    leaving: bool = False
    down: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """What lasts.

    Attributes:
        numbering: Names notices.
        position: Sequence of the last record of the task log that was taken in.
        alerts: Alerts under way, by id.
        nodes: Nodes that are known.
        roles: When each role was heard last, as of nodes.
        rates: What was counted, by rule and group.
        time: When this was so.
        life: Which life of a notifier said so; two that run side by side must not take each other's word for their own.
        outbox: Notices that may not be in the history yet.
    """

    numbering: Numbering
    position: int = 0
    alerts: dict[str, Alert] = field(default_factory=dict)
    nodes: dict[str, KnownNode] = field(default_factory=dict)
    roles: dict[str, float] = field(default_factory=dict)
    rates: dict[str, Rate] = field(default_factory=dict)
    time: float = 0.0
    life: str = ""
    outbox: list[Notice] = field(default_factory=list)
