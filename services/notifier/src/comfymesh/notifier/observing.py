"""What records and reports say, as events of the core."""

from __future__ import annotations

from collections.abc import Mapping

from comfymesh.bus.tasklog import Stored
from comfymesh.notifier.domain.events import Gpu, LogPassed, NodeReported, Outcome, TaskTold
from comfymesh.tasks.record import State, TaskRecord
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_report_pb2

_FAILED_ATTEMPT = "AttemptFailed"
_OUTCOMES = {
    State.SUCCEEDED: Outcome.SUCCEEDED,
    State.FAILED: Outcome.FAILED,
    State.EXPIRED: Outcome.FAILED,
}
_DOWN = frozenset({node_pb2.Instance.STATE_DOWN, node_pb2.Instance.STATE_QUARANTINED})
_FROM_METADATA = ("exception_type", "graph_node", "graph_node_class", "noticed_by")


def of_record(stored: Stored) -> TaskTold | LogPassed:
    """What a record tells."""
    record = stored.record
    outcome = _outcome(record)
    if outcome is None:
        return LogPassed(stored.sequence)
    error = record.error
    return TaskTold(
        sequence=stored.sequence,
        outcome=outcome,
        facts=facts_of(record),
        labels=dict(record.definition.labels),
        # The instance's last lines may be of other tasks: they count where nothing else says what happened.
        detail=(error.traceback or error.log_tail) if error else "",
    )


def facts_of(record: TaskRecord) -> dict[str, str]:
    """What is known of a task, for people and for grouping; what is empty is left out."""
    definition, error = record.definition, record.error
    facts = {
        "tenant": record.key.tenant,
        "task": record.key.task_id,
        "workflow": definition.labels.get("workflow", definition.display_name),
        "node": record.node,
        "instance": record.instance,
        "attempt": str(record.attempt),
        "message": record.reason,
    }
    if error is not None:
        metadata: Mapping[str, str] = error.metadata
        facts |= {name: metadata.get(name, "") for name in _FROM_METADATA}
        facts |= {"class": error.failure.value, "message": error.message}
    return {name: value for name, value in facts.items() if value}


def _outcome(record: TaskRecord) -> Outcome | None:
    if record.resolution is not None:
        return None  # What somebody made of a dead letter is no new failure.
    if record.event == _FAILED_ATTEMPT and record.state is State.QUEUED:
        return Outcome.RETRIED
    return _OUTCOMES.get(record.state)


def of_report(node: str, message: node_report_pb2.NodeReport) -> NodeReported:
    """What a report tells."""
    told = message.node
    return NodeReported(
        node=node,
        leaving=told.availability != node_pb2.Node.AVAILABILITY_OPEN,
        down={instance.name: instance.state in _DOWN for instance in told.instances},
        gpus=tuple(_gpu(gpu) for gpu in told.gpus),
        free_disk=float(told.host.disk_free_bytes) if told.host.disk_bytes else None,
    )


def _gpu(message: node_pb2.Gpu) -> Gpu:
    return Gpu(
        uuid=message.uuid,
        memory_used=message.memory_used_bytes / message.memory_bytes if message.memory_bytes else None,
        temperature=float(message.temperature_celsius) if message.HasField("temperature_celsius") else None,
    )
