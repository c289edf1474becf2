"""Tasks and events for tests that need some, and strategies that make any."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from comfymesh.tasks import events, machine
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import (
    Artifact,
    ArtifactKind,
    Definition,
    Failure,
    Key,
    ModelFile,
    Placement,
    Requirements,
    Resolution,
    SpecRef,
    State,
    TaskError,
    TaskRecord,
    Timing,
    Work,
)

NOW = 1_700_000_000.0
DIGEST = "ab" * 32


def definition(task_id: str = "one", **changes: Any) -> Definition:
    """What a task is."""
    fields: dict[str, Any] = {
        "key": Key("default", task_id),
        "request_digest": DIGEST,
        "spec": SpecRef(DIGEST, 100, blobs=()),
        "requirements": Requirements(),
        "create_time": NOW,
    }
    return Definition(**(fields | changes))


def queued(task_id: str = "one", **changes: Any) -> TaskRecord:
    """A task that was just made; `changes` are of its definition."""
    return machine.create(definition(task_id, **changes))


def after(record: TaskRecord, *happened: events.Event, now: float = NOW) -> TaskRecord:
    """What became of a task."""
    for event in happened:
        record = machine.apply(record, event, now)
    return record


def assigned(node: str = "a", instance: str = "x") -> events.Assigned:
    """An assignment."""
    return events.Assigned(node, instance)


def failed(kind: FailureClass = FailureClass.NODE_EXCEPTION, message: str = "it broke") -> events.AttemptFailed:
    """A failure."""
    return events.AttemptFailed(TaskError(kind, message))


_names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
_digests = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_moments = st.integers(0, 4_000_000_000_000_000).map(lambda micros: micros / 1_000_000)
_labels = st.dictionaries(_names, _texts, max_size=3)

artifacts = st.builds(
    Artifact,
    artifact_id=st.integers(0, 999_999).map(str),
    filename=_texts,
    media_type=_texts,
    size_bytes=st.integers(0, 2**62),
    sha256=_digests,
    graph_node=_texts,
    output_key=_texts,
    kind=st.sampled_from(ArtifactKind),
    small=st.binary(max_size=20),
)
errors = st.builds(TaskError, st.sampled_from(FailureClass), _texts, _labels, _texts, _texts)
failures = st.builds(
    Failure,
    st.integers(1, 1000),
    _names,
    _names,
    st.sampled_from(FailureClass),
    _moments.filter(lambda t: t > 0),
    st.floats(0, 1e6),
)
_durations = st.integers(0, 10**11).map(lambda micros: micros / 1_000_000)
timings = st.builds(
    Timing, _durations, _durations, st.lists(_texts, max_size=3).map(tuple), _names, st.integers(0, 2**50)
)
_placements = st.builds(
    Placement,
    _labels.map(lambda labels: tuple(sorted(labels.items()))),
    st.one_of(st.just(""), _names),
    st.integers(0, 2**50),
    st.one_of(st.just(""), _names),
)
definitions = st.builds(
    Definition,
    key=st.builds(Key, _names, _names),
    request_digest=_digests,
    spec=st.builds(SpecRef, _digests, st.integers(0, 2**62), st.binary(max_size=20)),
    requirements=st.builds(
        Requirements,
        st.lists(_texts, max_size=3).map(tuple),
        st.lists(st.builds(ModelFile, _texts, _texts, _texts), max_size=3).map(tuple),
        _placements,
    ),
    create_time=_moments,
    display_name=_texts,
    priority=st.integers(-100, 100),
    labels=_labels,
    execution_timeout=st.integers(1, 86_400_000).map(lambda millis: millis / 1000),
    start_timeout=st.one_of(st.none(), st.integers(1, 86_400_000).map(lambda millis: millis / 1000)),
    max_retries=st.integers(0, 10),
    allow_partial_outputs=st.booleans(),
    trace_parent=_texts,
    group=st.one_of(st.just(""), _names),
    requeued_from=st.one_of(st.just(""), _names),
    callback_url=_texts,
    callback_states=st.lists(st.sampled_from(State), max_size=3, unique=True).map(tuple),
    work=st.builds(Work, _texts, st.floats(0.001, 1e6)),
)
records = st.builds(
    TaskRecord,
    definition=definitions,
    state=st.sampled_from(State),
    event=_texts,
    update_time=_moments,
    reason=_texts,
    attempt=st.integers(0, 10_000),
    node=st.one_of(st.just(""), _names),
    instance=_texts,
    error=st.one_of(st.none(), errors),
    artifacts=st.lists(artifacts, max_size=3, unique_by=lambda artifact: artifact.artifact_id).map(tuple),
    failures=st.lists(failures, max_size=3).map(tuple),
    not_before=_moments,
    start_time=st.one_of(st.none(), _moments),
    end_time=st.one_of(st.none(), _moments),
    timing=st.one_of(st.none(), timings),
    resolution=st.one_of(st.none(), st.sampled_from(Resolution)),
    requeued_as=st.one_of(st.just(""), _names),
)
happenings: st.SearchStrategy[events.Event] = st.one_of(
    st.builds(events.Assigned, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])),
    st.just(events.Started()),
    st.builds(events.Succeeded, st.lists(artifacts, max_size=2).map(tuple), timing=st.one_of(st.none(), timings)),
    st.builds(events.AttemptFailed, errors, st.one_of(st.none(), timings)),
    st.builds(events.Released, _texts),
    st.builds(events.CancelRequested, _texts),
    st.builds(events.Cancelled, st.one_of(st.none(), timings)),
    st.just(events.Expired()),
    st.just(events.Resolved(Resolution.DROPPED)),
    st.just(events.Resolved(Resolution.REQUEUED, "another")),
)
