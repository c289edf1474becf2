"""Workflows as values of the SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from comfymesh.client.inputs import Scalar


class InputKind(StrEnum):
    """What sort of value an input of a workflow takes."""

    UNKNOWN = "UNKNOWN"
    STRING = "STRING"
    INTEGER = "INTEGER"
    FLOAT = "FLOAT"
    BOOL = "BOOL"
    ENUM = "ENUM"
    IMAGE = "IMAGE"
    MASK = "MASK"
    AUDIO = "AUDIO"
    VIDEO = "VIDEO"


class ViolationSeverity(StrEnum):
    """How bad a violation is: a task would be refused, or ComfyUI would ignore something without a word."""

    UNKNOWN = "UNKNOWN"
    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True)
class WorkflowInput:
    """An input of a workflow.

    Attributes:
        name: What callers call it: 1 to 63 characters out of ``a-z0-9_`` that begin with a letter.
        kind: What sort of value it takes.
        targets: Where the value goes, each as ``{graph node id}.{input name}``.
        description: What it does, for people.
        required: Whether tasks must give it.
        default: What is used where they do not; None for what the graph holds.
        minimum: The smallest number, or None.
        maximum: The largest number, or None.
        options: What may be chosen, for enums.
    """

    name: str
    kind: InputKind
    targets: tuple[str, ...]
    description: str = ""
    required: bool = False
    default: Scalar | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkflowRef:
    """Names a stored workflow, to be run in the place of a graph.

    Attributes:
        name: ``portrait`` for its default version, ``portrait@3`` for another; or the full resource name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """A stored workflow.

    Attributes:
        name: Resource name, ``workflows/{workflow}``.
        display_name: Name for people.
        description: What it makes and how to use it, for people.
        labels: What is written on it.
        graph_json: The graph of its default version; empty in lists.
        inputs: The inputs of its default version; none in lists.
        default_version: The version that runs where a task names none.
        latest_version: The newest.
        create_time: When it was created.
        update_time: When it was changed last.
        delete_time: When it was deleted, or None.
        etag: Changes with every change.
    """

    name: str
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    graph_json: str = ""
    inputs: tuple[WorkflowInput, ...] = ()
    default_version: int = 0
    latest_version: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
    delete_time: datetime | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """What a workflow was at one time.

    Attributes:
        name: Resource name, ``workflows/{workflow}/versions/{number}``.
        number: Its number, from 1.
        graph_json: The graph; empty in lists.
        inputs: The inputs; none in lists.
        graph_digest: SHA-256 of the graph's text, lowercase hex.
        create_time: When it was made.
    """

    name: str
    number: int
    graph_json: str = ""
    inputs: tuple[WorkflowInput, ...] = ()
    graph_digest: str = ""
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkflowViolation:
    """Something that keeps a graph from running as it is meant. Texts may hold what its author wrote.

    Attributes:
        severity: How bad it is.
        type: What kind, for machines, such as ``missing_node_type``.
        message: What is wrong and what to do, for people.
        graph_node: The graph node's id, or empty.
        graph_node_class: Its class.
        input: The graph node's input, or empty.
        workflow_input: The workflow's input that leads there or is wrong itself, or empty.
        nearest: Names close to a missing one, best first.
        dropped_outputs: Ids of the output graph nodes that can't run because of it.
        offering_instance_count: How many instances have what is missing here.
    """

    severity: ViolationSeverity
    type: str
    message: str
    graph_node: str = ""
    graph_node_class: str = ""
    input: str = ""
    workflow_input: str = ""
    nearest: tuple[str, ...] = ()
    dropped_outputs: tuple[str, ...] = ()
    offering_instance_count: int = 0


@dataclass(frozen=True, slots=True)
class WorkflowReview:
    """A graph as the fleet sees it.

    Attributes:
        violations: Everything that is wrong, errors first; the first 1000.
        runnable_outputs: Ids of the output graph nodes that would run.
        dropped_outputs: Ids of those that ComfyUI would leave out without a word.
        able_instance_count: How many instances could run the graph as a whole.
        instance_count: How many have told what they offer.
        violation_count: How many violations there are in all.
    """

    violations: tuple[WorkflowViolation, ...]
    runnable_outputs: tuple[str, ...]
    dropped_outputs: tuple[str, ...]
    able_instance_count: int
    instance_count: int
    violation_count: int

    @property
    def errors(self) -> tuple[WorkflowViolation, ...]:
        """What a task would be refused for."""
        return tuple(each for each in self.violations if each.severity is ViolationSeverity.ERROR)
