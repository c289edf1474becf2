"""Values as JSON lines, for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfymesh.client import ArtifactStored, Progressed, TaskChanged, TaskFailed

if TYPE_CHECKING:
    from comfymesh.client import ComfyMeshError, Event, LoadedArtifact, Task

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def plain(value: object) -> Json:
    """The value as JSON holds it: times as ISO 8601, durations in seconds, bytes left out."""
    if isinstance(value, str):
        return str(value)  # also an enumeration's, whose JSON is its value
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return _leaf(value)


def error_json(error: ComfyMeshError) -> dict[str, Json]:
    """An error."""
    found: dict[str, Json] = {
        "reason": error.reason,
        "message": error.message,
        "metadata": plain(error.metadata),
        "violations": plain(error.violations),
        "retry_after": plain(error.retry_after),
        "code": error.code,
    }
    if isinstance(error, TaskFailed):
        found["task"] = plain(error.task)
    return {"error": found}


def line(value: Json) -> str:
    """One line of JSON, in ASCII, so that no terminal is moved by what a server says."""
    return json.dumps(value, separators=(", ", ": "))


class JsonReporter:
    """Prints each event as one line."""

    previews = False

    def start(self) -> None:
        """Nothing to prepare."""

    def stop(self) -> None:
        """Nothing to put away."""

    def event(self, event: Event) -> None:
        """Prints an event."""
        click.echo(line({**_event(event), "resume_token": event.resume_token}))

    def saved(self, artifact: LoadedArtifact) -> None:
        """Prints where an artifact was saved."""
        click.echo(line({"event": "saved", "artifact": plain(artifact)}))

    def finished(self, task: Task) -> None:
        """The last event has said it."""


def _event(event: Event) -> dict[str, Json]:
    if isinstance(event, TaskChanged):
        return {"event": "task", "task": plain(event.task)}
    if isinstance(event, Progressed):
        return {"event": "progress", "progress": plain(event.progress)}
    if isinstance(event, ArtifactStored):
        return {"event": "artifact", "artifact": plain(event.artifact), "attempt": event.attempt}
    preview = event.preview
    return {"event": "preview", "preview": plain(preview), "size_bytes": len(preview.data)}


def _fields(value: object) -> Json:
    assert is_dataclass(value)
    pairs = ((each.name, getattr(value, each.name)) for each in fields(value))
    return {name: plain(found) for name, found in pairs if not isinstance(found, bytes)}


def _leaf(value: object) -> Json:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"A {type(value).__name__} has no JSON form.")
