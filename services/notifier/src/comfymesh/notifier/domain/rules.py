"""What people want to be told of: the rules, validated. `docs/alerts.md` says what each is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from comfymesh.notifier.domain.templates import Template
from comfymesh.notifier.domain.values import Duration, Globs, Model, Name, Pattern, Severity, Share, Size
from comfymesh.notifier.domain.windows import MaintenanceWindow
from comfymesh.tasks.failures import FailureClass

Group = Literal[
    "tenant",
    "class",
    "exception_type",
    "graph_node_class",
    "node",
    "instance",
    "workflow",
    "gpu",
    "role",
    "task",
]
"""What can tell one alert of a rule from another."""


class Escalation(Model):
    """What follows when nobody has acknowledged an alert for some time.

    Attributes:
        after: How long it may fire.
        severity: What it becomes.
        channels: Who is told; by default the rule's channels.
    """

    after: Duration
    severity: Severity = Severity.CRITICAL
    channels: tuple[Name, ...] = ()


class BaseRule(Model):
    """What all rules have.

    Attributes:
        name: Its name, by which silences and the history know it.
        severity: How bad what it tells of is.
        channels: Who is told; all channels where none is named.
        group_by: What makes alerts of it different ones. Each has its own count, cool-down and recovery.
        cooldown: For so long after a message the same is only counted.
        recovery: Whether it is told when it is over.
        escalate: What follows when nobody acknowledges it.
        summary: A template in place of the message's first line.
        runbook: Where is written what to do.
    """

    name: Name
    severity: Severity = Severity.ERROR
    channels: tuple[Name, ...] = ()
    group_by: tuple[Group, ...] = ()
    cooldown: Duration = 300.0
    recovery: bool = True
    escalate: Escalation | None = None
    summary: Template | None = None
    runbook: Annotated[str, Field(max_length=512)] = ""


class Occurrences(BaseRule):
    """What happens at a moment.

    Attributes:
        wait: How long the first message waits for more of the same.
        count: How many are needed ...
        window: ... within so long.
    """

    wait: Duration = 5.0
    count: Annotated[int, Field(ge=1, le=1000)] = 1
    window: Duration = 600.0
    recovery: bool = False


class Failures(Occurrences):
    """Failures of tasks or attempts that are chosen by what they are.

    Attributes:
        classes: Failure classes, such as OUT_OF_MEMORY; empty for all.
        tenants: Globs; empty for all.
        workflows: Globs on the label `workflow`, or on the display name where there is no such label; empty for all.
        labels: Globs on labels that a task must have.
        error: A pattern on the error's message and traceback.
        keywords: Patterns, and the severity that an error becomes in which they occur, if that is worse.
    """

    classes: tuple[FailureClass, ...] = ()
    tenants: Globs = ()
    workflows: Globs = ()
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    error: Pattern | None = None
    keywords: dict[Pattern, Severity] = Field(default_factory=dict, max_length=64)
    group_by: tuple[Group, ...] = ("class", "exception_type")


class TaskFailed(Failures):
    """A task has failed for good."""

    kind: Literal["task_failed"]


class AttemptFailed(Failures):
    """An attempt has failed, whether or not it is tried again."""

    kind: Literal["attempt_failed"]


class InstanceCrashed(Occurrences):
    """A ComfyUI instance goes down again and again."""

    kind: Literal["instance_crashed"]
    nodes: Globs = ()
    count: Annotated[int, Field(ge=1, le=1000)] = 3
    group_by: tuple[Group, ...] = ("node", "instance")


class Condition(BaseRule):
    """What lasts.

    Attributes:
        hold: How long it must last before it is told (`for` in the file).
        clear_for: How long it must be over before that is told.
        repeat: How often it is told again while it lasts; 0 for never.
    """

    hold: Annotated[Duration, Field(alias="for")] = 0.0
    clear_for: Duration = 30.0
    repeat: Duration = 4 * 3600.0

    @property
    def pending(self) -> float:
        """For how long it must have been seen before it is told. Seconds."""
        return self.hold


class FailureRate(Condition):
    """Too many of the tasks that end have failed."""

    kind: Literal["failure_rate"]
    above: Share
    window: Annotated[Duration, Field(ge=1)] = 600.0
    minimum: Annotated[int, Field(ge=1)] = 20
    group_by: tuple[Literal["tenant", "workflow"], ...] = ()


class NodeLost(Condition):
    """A node that has reported reports no more."""

    kind: Literal["node_lost"]
    nodes: Globs = ()
    hold: Annotated[Duration, Field(alias="for")] = 30.0
    group_by: tuple[Group, ...] = ("node",)

    @property
    def pending(self) -> float:
        """See Condition. It is seen only after its silence has lasted."""
        return 0.0


class GpuMemory(Condition):
    """A GPU's memory is nearly full."""

    kind: Literal["gpu_memory"]
    above: Share
    nodes: Globs = ()
    group_by: tuple[Group, ...] = ("node", "gpu")


class GpuTemperature(Condition):
    """A GPU is too hot. `above` in degrees Celsius."""

    kind: Literal["gpu_temperature"]
    above: Annotated[float, Field(ge=0, le=200)]
    nodes: Globs = ()
    group_by: tuple[Group, ...] = ("node", "gpu")


class DiskLow(Condition):
    """A node's disk is nearly full."""

    kind: Literal["disk_low"]
    below: Size
    nodes: Globs = ()
    group_by: tuple[Group, ...] = ("node",)


class QueueLength(Condition):
    """Too many tasks wait."""

    kind: Literal["queue_length"]
    above: Annotated[int, Field(ge=0)]


class QueueAge(Condition):
    """The task that has waited longest has waited too long."""

    kind: Literal["queue_age"]
    above: Duration


class StalledTask(Condition):
    """A task runs and has told nothing of its progress for too long."""

    kind: Literal["stalled_task"]
    above: Duration
    group_by: tuple[Group, ...] = ("task",)


class Silent(Condition):
    """The dead-man switch: a part of the mesh that should be there tells nothing."""

    kind: Literal["silent"]
    roles: tuple[Literal["api", "scheduler", "nats"], ...] = ("api", "scheduler", "nats")
    severity: Severity = Severity.CRITICAL
    hold: Annotated[Duration, Field(alias="for")] = 30.0
    group_by: tuple[Group, ...] = ("role",)

    @property
    def pending(self) -> float:
        """See Condition. It is seen only after its silence has lasted."""
        return 0.0


Rule = Annotated[
    TaskFailed
    | AttemptFailed
    | InstanceCrashed
    | FailureRate
    | NodeLost
    | GpuMemory
    | GpuTemperature
    | DiskLow
    | QueueLength
    | QueueAge
    | StalledTask
    | Silent,
    Field(discriminator="kind"),
]


class Channel(Model):
    """Where messages go. Exactly one of the three says where; it may be a secret, so none is ever shown.

    Attributes:
        url: The address, as apprise writes it; for what is no secret.
        env: The environment variable that holds it.
        file: The file that holds it.
        severity: What is less bad is not told here.
        timeout: How long one try may take.
        give_up_after: For how long a message is tried again.
    """

    name: Name
    url: Annotated[str, Field(max_length=4096, repr=False)] = ""
    env: Annotated[str, Field(max_length=256)] = ""
    file: Annotated[str, Field(max_length=4096)] = ""
    severity: Severity = Severity.INFO
    timeout: Annotated[Duration, Field(gt=0, le=300)] = 15.0
    give_up_after: Duration = 3600.0

    @model_validator(mode="after")
    def _one_address(self) -> Channel:
        if sum(map(bool, (self.url, self.env, self.file))) != 1:
            raise ValueError("needs exactly one of url, env and file")
        return self


class Rules(Model):
    """The rules file."""

    version: Literal[1]
    channels: Annotated[tuple[Channel, ...], Field(max_length=64)] = ()
    rules: Annotated[tuple[Rule, ...], Field(max_length=256)] = ()
    maintenance: Annotated[tuple[MaintenanceWindow, ...], Field(max_length=64)] = ()

    def documented(self, docs_url: str) -> Rules:
        """The same, but runbooks that are paths lead to pages below an address; as they are where that is empty."""
        if not docs_url:
            return self
        rules = [rule.model_copy(update={"runbook": below(docs_url, rule.runbook)}) for rule in self.rules]
        return self.model_copy(update={"rules": tuple(rules)})

    def named(self, name: str) -> BaseRule | None:
        """The rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)

    def receivers(self, channels: tuple[str, ...], severity: Severity) -> tuple[str, ...]:
        """The channels that are told, out of some (all where none is named)."""
        return tuple(
            channel.name
            for channel in self.channels
            if (not channels or channel.name in channels) and severity.rank >= channel.severity.rank
        )


def below(docs_url: str, runbook: str) -> str:
    """A runbook that is a path, as a page below an address. One that is an address already stays, and so does none."""
    return runbook if not runbook or "://" in runbook else f"{docs_url.rstrip('/')}/{runbook.lstrip('/')}"


def cross_check(rules: Rules) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong between the parts of a rules file, with its place."""
    known = {channel.name for channel in rules.channels}
    for part, names in (("channels", [c.name for c in rules.channels]), ("rules", [r.name for r in rules.rules])):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield (part, index, "name"), f"{name} is there twice"
    for index, rule in enumerate(rules.rules):
        for place, named in _channels(rule):
            if named not in known:
                yield ("rules", index, *place), f"there is no channel {named}"


def _channels(rule: BaseRule) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, name in enumerate(rule.channels):
        yield ("channels", index), name
    for index, name in enumerate(rule.escalate.channels if rule.escalate else ()):
        yield ("escalate", "channels", index), name
