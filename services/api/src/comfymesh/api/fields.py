"""What the fields of a new task must be like. All violations at once. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from comfymesh import names
from comfymesh.api.errors import Violation
from comfymesh.egress.guard import EgressRefusedError
from comfymesh.egress.guard import parse as parse_url
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import State
from comfymesh.v1 import error_reason_pb2, task_pb2

DEFAULT_TIMEOUT = 3600.0

_MAX_TIMEOUT = 24 * 3600.0
_MAX_START_TIMEOUT = 30 * 24 * 3600.0
_MAX_LABELS = 32
_MAX_WISHES = 16
_LABEL_KEY = re.compile(r"[a-z0-9][a-z0-9_./-]{0,62}")
_MAX_LABEL_VALUE = 128
_MAX_DISPLAY_NAME = 128
_MAX_PRIORITY = 100
_MAX_RETRIES = 10
_MAX_REASON = 512
_MAX_URLS = 32
_MAX_CONDITIONS = 64
_MOST_CHANGES = 64
_FAILURES = frozenset(error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{failure}") for failure in FailureClass)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STATES = frozenset(task_pb2.Task.State.values()) - {task_pb2.Task.STATE_UNSPECIFIED}
_INPUT = re.compile(r"[^.]{1,128}\..{1,128}", re.DOTALL)


def violations(task: task_pb2.Task, task_id: str, request_id: str) -> list[Violation]:
    """Everything that is wrong with a request to create `task`, its graph apart."""
    return [
        *_ids(task_id, request_id),
        *label_violations("task.labels", task.labels),
        *_numbers(task),
        *input_violations(task),
        *_texts(task),
        *(_placement(task.placement) if task.HasField("placement") else ()),
        *group_violations("task.group", task.group),
        *_callback(task),
    ]


def group_violations(field: str, name: str) -> Iterator[Violation]:
    """What is wrong with a field that may name a group."""
    if name and not _is_a(names.parse_group, name):
        yield Violation(field, "must be groups/ and 1 to 63 characters out of a-z0-9- that begin with a letter")


def name_violations(name: str, parse: Callable[[str], object], field: str = "name") -> Iterator[Violation]:
    """What is wrong with the name of a resource, which `parse` reads."""
    try:
        parse(name)
    except names.MalformedNameError as error:
        yield Violation(field, str(error))


def reason_violations(reason: str) -> Iterator[Violation]:
    """What is wrong with the reason that a caller gives for something."""
    if len(reason) > _MAX_REASON:
        yield Violation("reason", f"has {len(reason)} characters, at most {_MAX_REASON} are allowed")


def label_violations(field: str, labels: Mapping[str, str]) -> Iterator[Violation]:
    """What is wrong with the labels that a resource is to carry."""
    if len(labels) > _MAX_LABELS:
        yield Violation(field, f"has {len(labels)} entries, at most {_MAX_LABELS} are allowed")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            yield Violation(f"{field}[{key[:64]}]", "the key must be 1 to 63 characters out of a-z0-9_.-/")
        if len(value) > _MAX_LABEL_VALUE:
            words = f"the value has {len(value)} characters, at most {_MAX_LABEL_VALUE} are allowed"
            yield Violation(f"{field}[{key[:64]}]", words)


def display_name_violations(field: str, name: str) -> Iterator[Violation]:
    """What is wrong with a name for people."""
    if len(name) > _MAX_DISPLAY_NAME:
        yield Violation(field, f"has {len(name)} characters, at most {_MAX_DISPLAY_NAME} are allowed")


def is_time(value: Timestamp) -> bool:
    """Whether a timestamp is one: from the year 1 to 9999, with less than a second of nanoseconds."""
    try:
        value.ToDatetime()
    except (ValueError, OverflowError):
        return False
    return 0 <= value.nanos < 1_000_000_000


def filter_violations(
    states: Sequence[int], labels: Mapping[str, str], group: str, digest: str = "", workflow: str = ""
) -> Iterator[Violation]:
    """What is wrong with the fields that choose tasks."""
    if len(labels) + len(states) > _MAX_CONDITIONS:
        yield Violation("labels", f"at most {_MAX_CONDITIONS} labels and states can be asked for at once")
    for index, state in enumerate(states):
        if state not in _STATES:
            yield Violation(f"states[{index}]", f"{state} is not a state of tasks")
    yield from group_violations("group", group)
    if digest and not _DIGEST.fullmatch(digest):
        yield Violation("graph_digest", "must be a SHA-256 in lowercase hex: 64 characters out of 0-9a-f")
    yield from _workflow("workflow", workflow)


def max_changes_violations(asked: int) -> Iterator[Violation]:
    """What is wrong with how many changes one message of a stream may tell."""
    if asked < 0:
        yield Violation("max_changes", f"{asked} is negative; leave it out for one")


def most_changes(asked: int) -> int:
    """How many changes one message of a stream may tell, where `asked` is right."""
    return min(asked or 1, _MOST_CHANGES)


def reasons_violations(field: str, reasons: Sequence[int]) -> Iterator[Violation]:
    """What is wrong with a field that chooses by the reason of a failure."""
    if len(reasons) > _MAX_CONDITIONS:
        yield Violation(field, f"has {len(reasons)} entries, at most {_MAX_CONDITIONS} are allowed")
    for index, reason in enumerate(reasons[:_MAX_CONDITIONS]):
        if reason not in _FAILURES:
            yield Violation(f"{field}[{index}]", f"{reason} is not a reason for which tasks fail")


def execution_timeout(task: task_pb2.Task) -> float:
    """How long an attempt may execute, in seconds."""
    return task.execution_timeout.ToMilliseconds() / 1000 if task.HasField("execution_timeout") else DEFAULT_TIMEOUT


def start_timeout(task: task_pb2.Task) -> float | None:
    """How long the first attempt may take to begin, in seconds; None for ever."""
    return task.start_timeout.ToMilliseconds() / 1000 if task.HasField("start_timeout") else None


def callback_states(task: task_pb2.Task) -> tuple[State, ...]:
    """The states that the task's callback URL is to be told of."""
    return tuple(State(task_pb2.Task.State.Name(state).removeprefix("STATE_")) for state in task.callback_states)


def _ids(task_id: str, request_id: str) -> Iterator[Violation]:
    if task_id and not names.is_task_id(task_id):
        yield Violation("task_id", "must be 1 to 63 characters out of a-z0-9- and begin with a letter")
    if request_id and not _is_uuid(request_id):
        yield Violation("request_id", "must be a UUID such as 123e4567-e89b-42d3-a456-426614174000")


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _numbers(task: task_pb2.Task) -> Iterator[Violation]:
    if abs(task.priority) > _MAX_PRIORITY:
        yield Violation("task.priority", f"{task.priority} is not between -{_MAX_PRIORITY} and {_MAX_PRIORITY}")
    if not 0 <= task.max_retries <= _MAX_RETRIES:
        yield Violation("task.max_retries", f"{task.max_retries} is not between 0 and {_MAX_RETRIES}")
    if task.HasField("execution_timeout") and not 0 < execution_timeout(task) <= _MAX_TIMEOUT:
        yield Violation("task.execution_timeout", "must be above 0 and at most 24 hours")
    wait = start_timeout(task)
    if wait is not None and not 0 < wait <= _MAX_START_TIMEOUT:
        yield Violation("task.start_timeout", "must be above 0 and at most 30 days; leave it out to wait for ever")


def _placement(placement: task_pb2.Placement) -> Iterator[Violation]:
    if len(placement.labels) > _MAX_WISHES:
        yield Violation("task.placement.labels", f"has {len(placement.labels)} entries, at most 16 are allowed")
    for key, value in placement.labels.items():
        if not _LABEL_KEY.fullmatch(key) or len(value) > _MAX_LABEL_VALUE:
            yield Violation(f"task.placement.labels[{key[:64]}]", "no node can have such a label; see task.labels")
    for name, value in (("gpu_class", placement.gpu_class), ("pool", placement.pool)):
        if value and not names.is_node_id(value):
            yield Violation(f"task.placement.{name}", "must be 1 to 63 characters out of a-z0-9-, as `nodes` shows it")
    if placement.min_vram_bytes < 0:
        yield Violation("task.placement.min_vram_bytes", f"{placement.min_vram_bytes} is negative")


def input_violations(task: task_pb2.Task) -> Iterator[Violation]:
    """What is wrong with the inputs of a task."""
    urls = sum(value.WhichOneof("kind") == "url" for value in task.inputs.values())
    if urls > _MAX_URLS:
        yield Violation("task.inputs", f"has {urls} URLs, at most {_MAX_URLS} are allowed")
    for path, value in task.inputs.items():
        field = f"task.inputs[{path[:128]}]"
        # With a workflow the names are its own; which it has is not known here.
        if not task.workflow and not _INPUT.fullmatch(path):
            yield Violation(field, "the key must be {graph node id}.{input name}, for instance 3.seed")
        yield from value_violations(field, value)


def value_violations(field: str, value: task_pb2.InputValue) -> Iterator[Violation]:
    """What is wrong with the value of an input, whichever input it is."""
    kind = value.WhichOneof("kind")
    if kind is None:
        yield Violation(field, "has no value")
    elif kind == "asset" and not _is_a(names.parse_asset, value.asset):
        yield Violation(field, f"{value.asset[:80]!r} is not of the form assets/{{sha256}}")
    elif kind == "url":
        yield from _url(field, value.url)
    elif kind == "double_value" and not math.isfinite(value.double_value):
        yield Violation(field, f"{value.double_value} is a number that no graph can hold")


def _url(field: str, url: str) -> Iterator[Violation]:
    try:
        parse_url(url)  # Where it leads is judged when it is called, by the one who calls.
    except EgressRefusedError as error:
        yield Violation(field, str(error))


def _is_a(parse: Callable[[str], object], name: str) -> bool:
    try:
        parse(name)
    except names.MalformedNameError:
        return False
    return True


def _callback(task: task_pb2.Task) -> Iterator[Violation]:
    if task.callback_url:
        yield from _url("task.callback_url", task.callback_url)
    elif task.callback_states:
        yield Violation("task.callback_states", "says when to call, and there is no callback_url")
    states = task.callback_states[: len(_STATES) + 1]
    if len(states) > len(_STATES):
        yield Violation("task.callback_states", f"has more entries than there are states, which are {len(_STATES)}")
        return
    for index, state in enumerate(states):
        if state not in _STATES:
            yield Violation(f"task.callback_states[{index}]", f"{state} is not a state of tasks")
        if state in states[:index]:
            yield Violation(f"task.callback_states[{index}]", "is there twice")


def _texts(task: task_pb2.Task) -> Iterator[Violation]:
    yield from display_name_violations("task.display_name", task.display_name)
    yield from _workflow("task.workflow", task.workflow)
    if not task.graph_json and not task.workflow:
        yield Violation(
            "task.graph_json", "is required: a ComfyUI workflow, exported in API format; or name a workflow"
        )
    elif task.graph_json and task.workflow:
        yield Violation("task.graph_json", "can't be given together with task.workflow; give one of them")


def _workflow(field: str, name: str) -> Iterator[Violation]:
    if name and not _is_a(names.parse_runnable, name):
        yield Violation(field, f"{name[:80]!r} is neither workflows/{{workflow}} nor one of its /versions/{{number}}")
