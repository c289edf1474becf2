"""What a watch tells: the task changed, it progressed, a preview arrived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfymesh.client.models import Preview, Progress, Task


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
class PreviewArrived:
    """The latest preview; earlier ones may have been left out.

    Attributes:
        preview: The preview.
        resume_token: Position after this event, for `watch`. Opaque.
    """

    preview: Preview
    resume_token: str = field(default="", repr=False)


Event = TaskChanged | Progressed | PreviewArrived
