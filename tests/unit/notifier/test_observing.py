"""What records and reports say."""

from __future__ import annotations

from comfymesh.bus.tasklog import Stored
from comfymesh.notifier import observing
from comfymesh.notifier.domain.events import Gpu, LogPassed, NodeReported, Outcome, TaskTold
from comfymesh.tasks import codec
from comfymesh.tasks.events import AttemptFailed, Event, Expired, Resolved, Started, Succeeded
from comfymesh.tasks.failures import FailureClass
from comfymesh.tasks.record import Resolution, TaskError
from comfymesh.testkit.tasks import after, assigned, failed, queued
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1.node_report_pb2 import NodeReport


def told(*events: Event, **definition: object) -> TaskTold | LogPassed:
    record = after(queued(**definition), *events)
    return observing.of_record(Stored(record.key, 7, codec.encode(record)))


def test_only_ends_and_failed_attempts_are_told() -> None:
    for events in ((), (assigned(),), (assigned(), Started())):
        assert told(*events) == LogPassed(7)


def test_a_task_that_ends_is_told_with_its_outcome() -> None:
    outcomes = {
        Outcome.SUCCEEDED: told(assigned(), Succeeded(())),
        Outcome.FAILED: told(assigned(), failed()),
        Outcome.RETRIED: told(assigned(), failed(FailureClass.INSTANCE_LOST)),
    }
    assert {outcome: event.outcome for outcome, event in outcomes.items() if isinstance(event, TaskTold)} == {
        outcome: outcome for outcome in outcomes
    }


def test_a_task_that_expires_has_failed() -> None:
    event = told(Expired(), start_timeout=1.0)
    assert isinstance(event, TaskTold)
    assert (event.outcome, event.facts["class"]) == (Outcome.FAILED, "EXPIRED")


def test_what_became_of_a_dead_letter_is_no_new_failure() -> None:
    assert told(assigned(), failed(), Resolved(Resolution.DROPPED)) == LogPassed(7)


def test_a_failure_is_told_with_what_is_known_of_it() -> None:
    metadata = {"exception_type": "ValueError", "graph_node_class": "KSampler", "noticed_by": "poll", "secret": "x"}
    error = TaskError(FailureClass.NODE_EXCEPTION, "it broke", metadata, "Traceback ...", "log tail")
    event = told(assigned("a", "x"), AttemptFailed(error), labels={"workflow": "poster", "team": "red"})
    assert isinstance(event, TaskTold)
    assert event.facts == {
        "tenant": "default",
        "task": "one",
        "workflow": "poster",
        "node": "a",
        "instance": "x",
        "attempt": "1",
        "message": "it broke",
        "class": "NODE_EXCEPTION",
        "exception_type": "ValueError",
        "graph_node_class": "KSampler",
        "noticed_by": "poll",
    }
    assert event.labels == {"workflow": "poster", "team": "red"}


def test_what_the_instance_wrote_last_counts_only_where_there_is_no_traceback() -> None:
    """The lines may be of other tasks: somebody's out of memory made every failure after it a critical one."""
    tail = "CUDA out of memory"
    raised = TaskError(FailureClass.NODE_EXCEPTION, "it broke", {}, "Traceback ...", tail)
    lost = TaskError(FailureClass.INSTANCE_LOST, "it is gone", {}, "", tail)
    found = [told(assigned(), AttemptFailed(error)) for error in (raised, lost)]
    assert [event.detail for event in found if isinstance(event, TaskTold)] == ["Traceback ...", tail]


def test_a_report_tells_of_instances_gpus_and_the_disk() -> None:
    state = node_pb2.Instance.State
    node = node_pb2.Node(
        availability=node_pb2.Node.AVAILABILITY_OPEN,
        instances=[
            node_pb2.Instance(name="up", state=state.STATE_BUSY),
            node_pb2.Instance(name="down", state=state.STATE_DOWN),
            node_pb2.Instance(name="aside", state=state.STATE_QUARANTINED),
        ],
        gpus=[
            node_pb2.Gpu(uuid="G1", memory_bytes=100, memory_used_bytes=97, temperature_celsius=0),
            node_pb2.Gpu(uuid="G2"),
        ],
        host=node_pb2.Host(disk_bytes=1000, disk_free_bytes=10),
    )
    assert observing.of_report("a", NodeReport(node=node)) == NodeReported(
        "a",
        leaving=False,
        down={"up": False, "down": True, "aside": True},
        gpus=(Gpu("G1", 0.97, 0.0), Gpu("G2")),
        free_disk=10.0,
    )


def test_a_report_that_tells_little_tells_nothing_wrong() -> None:
    node = node_pb2.Node(availability=node_pb2.Node.AVAILABILITY_DRAINING)
    assert observing.of_report("a", NodeReport(node=node)) == NodeReported("a", leaving=True, down={})
