"""Which tasks are meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from comfymesh.bus.tasklog import Stored


@dataclass(frozen=True, slots=True)
class Query:
    """Chooses tasks of a tenant.

    Attributes:
        tenant: Whose tasks.
        states: Numbers of the states that a task may be in; any, where there are none.
        labels: What it must carry.
        group: Resource name of the group that it must belong to; empty for any and none.
        graph_digest: SHA-256 of the graph that it must run, in hex; empty for any.
        workflow: Name of the workflow that it must be of, or of one version; empty for any and none.
        created_after: Created then or later, seconds since the epoch.
        created_before: Created earlier, seconds since the epoch.
        reasons: Numbers of the reasons for which it may have failed; any, where there are none.
        unresolved: Whether it must be a dead letter that nobody has resolved.
        ended_after: Ended then or later, seconds since the epoch.
        ended_before: Ended earlier, seconds since the epoch.
    """

    tenant: str
    states: Collection[int] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    graph_digest: str = ""
    workflow: str = ""
    created_after: float | None = None
    created_before: float | None = None
    reasons: Collection[int] = ()
    unresolved: bool = False
    ended_after: float | None = None
    ended_before: float | None = None

    def matches(self, stored: Stored) -> bool:
        """Whether a record is of such a task: by tenant, states, labels, group and workflow, as a watch can choose."""
        if stored.key.tenant != self.tenant:
            return False
        task = stored.task
        if (self.states and task.state not in self.states) or (self.group and task.group != self.group):
            return False
        if self.workflow and self.workflow not in (task.workflow, task.workflow_version):
            return False
        return all(task.labels.get(key) == value for key, value in self.labels.items())
