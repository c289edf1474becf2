"""What the end of a prompt means for its task."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfymesh.agent.comfyui.classify import classify
from comfymesh.agent.comfyui.errors import ComfyError, GraphRefused
from comfymesh.agent.comfyui.events import ExecutionError
from comfymesh.agent.comfyui.outcome import Failed, Lost, Noticed, Succeeded
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.domain.folders import hide
from comfymesh.agent.domain.stops import GivenBack, Stop, TimedOut
from comfymesh.graphs.values import leads_out
from comfymesh.tasks import events
from comfymesh.tasks.events import AttemptFailed, Event, Released
from comfymesh.tasks.failures import WRITTEN_AS, FailureClass
from comfymesh.tasks.record import Artifact, State, TaskError, TaskRecord

_MAX_TRACEBACK = 16 * 1024
_MAX_MESSAGE = 2 * 1024
_TOO_LARGE = 413
_MAX_LOG_TAIL = 8 * 1024

_TOLD_IN_THE_LOG = frozenset(
    {
        FailureClass.INSTANCE_LOST,
        FailureClass.STALLED,
        FailureClass.DEVICE_FAULT,
        FailureClass.INTERNAL,
        FailureClass.NODE_EXCEPTION,
    }
)
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def of_failure(failed: Failed) -> Event:
    """A graph node raised."""
    error = failed.error
    where = f"graph node {error.graph_node} ({error.graph_node_class})"
    message = f"{where} raised {error.exception_type}: {error.message}"
    metadata = {
        "graph_node": error.graph_node,
        "graph_node_class": error.graph_node_class,
        "exception_type": error.exception_type,
        **_told_by(failed.noticed),
    }
    return failure(classify(error), message, metadata, _traceback(error))


def of_interrupt(stop: Stop | None, *, started: bool) -> Event:
    """The prompt was stopped: by this node, or by somebody else."""
    match stop:
        case GivenBack(reason) if started:
            return failure(FailureClass.PREEMPTED, reason)
        case GivenBack(reason, counts):
            return Released(f"handed back: {reason}", counts)
        case TimedOut(limit):
            return failure(FailureClass.TIMEOUT, f"it was still executing after {limit:g} s and was interrupted")
        case None:
            return failure(FailureClass.INTERNAL, "somebody interrupted ComfyUI from outside of the mesh")


def of_loss(lost: Lost, *, started: bool) -> Event:
    """The prompt is gone. It counts against nobody if it never began."""
    if started:
        return failure(lost.failure, lost.reason, _told_by(lost.noticed))
    return Released(f"handed back before it began: {lost.reason}")


def of_success(succeeded: Succeeded, artifacts: tuple[Artifact, ...], began: float | None) -> Event:
    """Everything is stored."""
    unheard = succeeded.noticed is not Noticed.SOCKET
    note = "its end was found by asking ComfyUI: no event told of it" if unheard else ""
    return events.Succeeded(artifacts, began, note=note)


def _told_by(noticed: Noticed) -> dict[str, str]:
    return {"noticed_by": noticed.value}


def of_refusal(refused: GraphRefused) -> Event:
    """ComfyUI does not take the graph. What another instance may have is looked for there."""
    details = _details(refused.node_errors)
    if any(_names_a_file_outside(error) for _, error in _errors(refused.node_errors)):
        problem = {"problem": "FILE_OUTSIDE"}
        return failure(FailureClass.INPUT_INVALID, f"an input names a file of the node itself: {details}", problem)
    kinds = {str(refused.error.get("type"))} | _error_types(refused.node_errors)
    absent = {"missing_node_type", "value_not_in_list", "custom_validation_failed"}
    lacks = kinds & absent and not kinds - absent - {"prompt_outputs_failed_validation"}
    kind = FailureClass.MISSING_DEPENDENCY if lacks else FailureClass.INVALID_WORKFLOW
    return failure(kind, f"ComfyUI refused the graph: {refused} {details}".strip())


def _names_a_file_outside(error: Mapping[str, Any]) -> bool:
    """Whether ComfyUI found no file since it may not look there: no other instance will."""
    _, found, name = str(error.get("details")).partition(" file: ")
    return error.get("type") == "custom_validation_failed" and bool(found) and leads_out(name)


def of_absence(record: TaskRecord) -> Event:
    """The instance does not serve, and has not for too long."""
    reason = f"instance {record.instance} does not serve"
    return Released(f"handed back: {reason}") if record.state is State.ASSIGNED else of_loss(Lost(reason), started=True)


def of_error(error: ComfyError) -> Event:
    """ComfyUI answered with an error of its own."""
    if error.status == _TOO_LARGE:
        advice = "start it with a larger --max-upload-size, in MB, or give it a smaller file"
        return failure(FailureClass.INPUT_INVALID, f"the instance takes no file of this size: {error}; {advice}")
    return failure(FailureClass.INTERNAL, str(error))


def of_refused_output(message: str, problem: str, graph_node: str) -> Event:
    """The graph makes what is not taken. That says nothing of the instance, and another one would make the same."""
    kind = FailureClass.OUTPUT_REFUSED
    return failure(WRITTEN_AS.get(kind, kind), message, {"problem": problem, "graph_node": graph_node})


def of_partial_outputs(succeeded: Succeeded) -> Event:
    """ComfyUI left invalid outputs out, and the task does not allow that."""
    return failure(FailureClass.PARTIAL_OUTPUTS, f"ComfyUI left out invalid outputs: {_details(succeeded.node_errors)}")


def wants_log_tail(end: Event) -> bool:
    """Whether the last words of the instance may say more of how an attempt ended."""
    return isinstance(end, AttemptFailed) and end.error.failure in _TOLD_IN_THE_LOG


def with_log_tail(end: Event, output: str) -> Event:
    """The end of an attempt with the last words of the instance.

    Args:
        end: The end.
        output: The last lines that the instance wrote. Hostile: graphs and custom nodes write there too.
    """
    if not isinstance(end, AttemptFailed):
        return end
    return AttemptFailed(replace(end.error, log_tail=_shown(output, _MAX_LOG_TAIL)))


def _shown(output: str, limit: int) -> str:
    """An output as a terminal would show it in the end, without what moves a terminal; the last `limit` bytes."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in output.split("\n")]
    text = hide(_CONTROL.sub("", _ESCAPE.sub("", "\n".join(lines))))
    return text.encode("utf-8", "replace")[-limit:].decode("utf-8", "ignore")


def failure(kind: FailureClass, message: str, metadata: Mapping[str, str] | None = None, traceback: str = "") -> Event:
    """A failed attempt."""
    told = {name: clean(hide(value), _MAX_MESSAGE) for name, value in (metadata or {}).items()}
    return AttemptFailed(
        TaskError(kind, clean(hide(message), _MAX_MESSAGE), told, clean(hide(traceback), _MAX_TRACEBACK))
    )


def _traceback(error: ExecutionError) -> str:
    return hide("".join(error.traceback))[-_MAX_TRACEBACK:]


def _error_types(node_errors: Mapping[str, Any]) -> set[str]:
    return {str(error.get("type")) for _, error in _errors(node_errors)}


def _details(node_errors: Mapping[str, Any]) -> str:
    found = [
        f"graph node {node}: {error.get('message')} ({error.get('details')})" for node, error in _errors(node_errors)
    ]
    return "; ".join(found[:10])


def _errors(node_errors: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every error with its graph node. The server's answer is untrusted: what is not of that shape is left out."""
    found = []
    for node, entry in node_errors.items():
        errors = entry.get("errors") if isinstance(entry, dict) else None
        found += [(node, error) for error in (errors if isinstance(errors, list) else ()) if isinstance(error, dict)]
    return found
