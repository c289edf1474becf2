"""What a watch tells: the task changed, it progressed, a preview arrived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfymesh.client.fleet_models import Node
    from comfymesh.client.models import Artifact, Group, Preview, Progress, Task


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """The task after a change of its state, or as it stood when the watch began.

    Attributes:
        task: The task.
        resume_token: Position after this event, for `watch`. Opaque.
    """

    task: Task
    resume_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Progressed:
    """The latest progress; earlier ones may have been left out.

    Attributes:
        progress: The progress.
        resume_token: Position after this event, for `watch`. Opaque.
    """

    progress: Progress
    resume_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ArtifactStored:
    """An artifact can be read while the attempt that made it goes on.

    Told once for each, most of them: the smallest come with the end. What the task has made in the end is in
    `Task.artifacts`: an attempt may still fail, and the next one makes its own.

    Attributes:
        artifact: The artifact, named by its content.
        attempt: Which attempt has made it.
        resume_token: Position after this event, for `watch`. Opaque.
    """

    artifact: Artifact
    attempt: int
    resume_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PreviewArrived:
    """The latest preview; earlier ones may have been left out.

    Attributes:
        preview: The preview.
        resume_token: Position after this event, for `watch`. Opaque.
    """

    preview: Preview
    resume_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """A group as it stands now; earlier views of it may have been left out.

    Attributes:
        group: The group.
        resume_token: Position after this event, for `AsyncGroupHandle.watch`. Opaque.
    """

    group: Group
    resume_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything that was there when the watch began has been told; what follows happens now.

    Attributes:
        resume_token: Position after this event. Opaque.
    """

    resume_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A node as it is now."""

    node: Node


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """A node has not been seen for an hour, and is forgotten. `name` is ``nodes/{node}``."""

    name: str


TasksEvent = TaskChanged | CaughtUp
"""What a watch of many tasks tells."""

GroupEvent = TaskChanged | GroupChanged | CaughtUp
"""What a watch of a group tells."""

FleetEvent = NodeChanged | NodeRemoved | CaughtUp
"""What a watch of the fleet tells."""

Event = TaskChanged | Progressed | ArtifactStored | PreviewArrived
