"""What changes make of a workflow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comfymesh import names
from comfymesh.api import fields
from comfymesh.api.errors import RefusedError, Violation
from comfymesh.api.workflows.store import Content, Head, Packed
from comfymesh.tasks.moments import timestamp
from comfymesh.v1.workflow_pb2 import Workflow
from comfymesh.wire.v1.workflow_record_pb2 import WorkflowRecord, WorkflowVersionRef

MOST_VERSIONS = 1000

_CONTENT = frozenset({"graph_json", "inputs"})
_DEFAULT = "default_version"
_WORDS = frozenset({"display_name", "description", "labels"})
_PATHS = (*sorted(_WORDS), *sorted(_CONTENT), _DEFAULT)
_LONGEST_DESCRIPTION = 4096


@dataclass(frozen=True, slots=True)
class Version:
    """A version that may be made."""

    content: Content
    packed: Packed


def violations(workflow: Workflow) -> list[Violation]:
    """What is wrong with what people read of a workflow."""
    found = [
        *fields.display_name_violations("workflow.display_name", workflow.display_name),
        *fields.label_violations("workflow.labels", workflow.labels),
    ]
    if (length := len(workflow.description)) > _LONGEST_DESCRIPTION:
        words = f"has {length} characters, at most {_LONGEST_DESCRIPTION} are allowed"
        found.append(Violation("workflow.description", words))
    return found


def mask_violations(paths: Sequence[str]) -> Iterator[Violation]:
    """What is wrong with a mask."""
    if not paths:
        yield Violation("update_mask", "is required: name the fields to change")
    for index, path in enumerate(paths):
        if path not in _PATHS:
            words = f"{path[:64]!r} can't be changed; there are {', '.join(_PATHS)}"
            yield Violation(f"update_mask.paths[{index}]", words)


def wanted_content(current: Content, workflow: Workflow, paths: Sequence[str]) -> Content:
    """The content that an update asks for, given that of the default version."""
    return Content(
        workflow.graph_json if "graph_json" in paths else current.graph_json,
        tuple(workflow.inputs) if "inputs" in paths else current.inputs,
    )


def created(known: Head, workflow_id: str, workflow: Workflow, version: Version, now: float) -> WorkflowRecord:
    """A new workflow. What is known of a deleted one stays: a version's number means one thing for ever."""
    record = WorkflowRecord(versions=known.record.versions)
    record.workflow.name = names.workflow(workflow_id)
    record.workflow.latest_version = known.record.workflow.latest_version
    record.workflow.create_time.CopyFrom(timestamp(now))
    _describe(record.workflow, workflow, _WORDS)
    record.workflow.default_version = _add(record, version, now)
    record.workflow.update_time.CopyFrom(timestamp(now))
    return record


def updated(
    known: Head, workflow: Workflow, paths: Sequence[str], version: Version | None, now: float
) -> WorkflowRecord:
    """A workflow after an update; `version` is what its default version is not like.

    Raises:
        RefusedError: it has too many versions, or not the one that is to be the default.
    """
    record = WorkflowRecord()
    record.CopyFrom(known.record)
    _describe(record.workflow, workflow, paths)
    if version is not None:
        record.workflow.default_version = _latest_or_new(record, version, now)
    if _DEFAULT in paths:
        record.workflow.default_version = _chosen(record, workflow.default_version)
    if record != known.record:
        record.workflow.update_time.CopyFrom(timestamp(now))
    return record


def deleted(known: Head, now: float, *, used: bool) -> WorkflowRecord:
    """A workflow after its deletion; without versions where no task was made of it."""
    record = WorkflowRecord()
    record.CopyFrom(known.record)
    record.workflow.delete_time.CopyFrom(timestamp(now))
    record.workflow.update_time.CopyFrom(timestamp(now))
    if not used:
        record.ClearField("versions")
    return record


def without_version(known: Head, number: int, now: float) -> WorkflowRecord:
    """A workflow after one of its versions was deleted."""
    record = WorkflowRecord()
    record.CopyFrom(known.record)
    del record.versions[:]
    record.versions.extend(version for version in known.record.versions if version.number != number)
    record.workflow.update_time.CopyFrom(timestamp(now))
    return record


def _describe(made: Workflow, workflow: Workflow, paths: Sequence[str] | frozenset[str]) -> None:
    if "display_name" in paths:
        made.display_name = workflow.display_name
    if "description" in paths:
        made.description = workflow.description
    if "labels" in paths:
        made.ClearField("labels")
        made.labels.update(workflow.labels)


def _latest_or_new(record: WorkflowRecord, version: Version, now: float) -> int:
    """The number of the latest version, where that has this content, as after a repeated call; else of a new one."""
    latest = record.versions[-1]
    return latest.number if latest.digest == version.packed.digest else _add(record, version, now)


def _add(record: WorkflowRecord, version: Version, now: float) -> int:
    if len(record.versions) >= MOST_VERSIONS:
        message = f"{record.workflow.name} has {MOST_VERSIONS} versions, which is the limit; create another workflow"
        metadata = {"quota": "versions", "limit": str(MOST_VERSIONS), "used": str(len(record.versions))}
        raise RefusedError("QUOTA_EXCEEDED", message, metadata)
    record.workflow.latest_version += 1
    number = record.workflow.latest_version
    record.versions.append(
        WorkflowVersionRef(
            number=number,
            digest=version.packed.digest,
            size_bytes=len(version.packed.data),
            graph_digest=version.content.graph_digest,
            create_time=timestamp(now),
        )
    )
    return number


def _chosen(record: WorkflowRecord, number: int) -> int:
    """The number of the default version that is asked for; 0 asks for the newest."""
    wanted = number or record.workflow.latest_version
    if not any(version.number == wanted for version in record.versions):
        words = f"there is no version {number}; the newest is {record.workflow.latest_version}"
        violation = Violation("workflow.default_version", words)
        raise RefusedError("INPUT_INVALID", f"{violation.field}: {words}", violations=[violation])
    return wanted
