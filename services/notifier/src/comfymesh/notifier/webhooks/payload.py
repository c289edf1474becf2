"""What a callback URL is told."""

from __future__ import annotations

import json
from uuid import UUID, uuid5

from google.protobuf.json_format import MessageToDict

from comfymesh.bus.tasklog import Stored
from comfymesh.tasks.moments import timestamp
from comfymesh.tasks.record import FINAL, TaskRecord
from comfymesh.v1 import alert_pb2, task_pb2
from comfymesh.wire.v1 import alerting_pb2

_NAMESPACE = UUID("c4a1f1de-7d3e-5d39-9a43-8f2d3f0c9b55")
_LARGEST = 256 * 1024
_LEFT_OUT = ("graph_json", "inputs", "callback_url", "callback_states")


def wanted(record: TaskRecord) -> bool:
    """Whether the task wants to be called for this record."""
    definition = record.definition
    states = definition.callback_states or FINAL
    return bool(definition.callback_url) and record.state in states and record.resolution is None


def webhook_of(stored: Stored) -> tuple[str, alerting_pb2.Webhook]:
    """The call for a record, and its id: the same whenever it is made."""
    record, task = stored.record, stored.task
    delivery_id = str(uuid5(_NAMESPACE, f"{stored.key.tenant}/{stored.key.task_id}/{stored.sequence}"))
    now = timestamp(record.update_time)
    delivery = alert_pb2.WebhookDelivery(
        name=f"webhookDeliveries/{delivery_id}",
        task=task.name,
        task_state=task.state,
        url=task.callback_url,
        state=alert_pb2.WebhookDelivery.STATE_PENDING,
        create_time=now,
        next_attempt_time=now,
    )
    return delivery_id, alerting_pb2.Webhook(delivery=delivery, tenant=stored.key.tenant, payload=_body(record, task))


def _body(record: TaskRecord, task: task_pb2.Task) -> bytes:
    shown = task_pb2.Task()
    shown.CopyFrom(task)
    for name in _LEFT_OUT:
        shown.ClearField(name)
    if shown.HasField("error"):
        shown.error.ClearField("traceback")
        shown.error.ClearField("log_tail")
    body = _encoded(record, shown)
    if len(body) > _LARGEST:
        # It would not fit into a message. The receiver can ask for the task.
        shown.ClearField("artifacts")
        body = _encoded(record, shown, artifacts_left_out=True)
    return body


def _encoded(record: TaskRecord, task: task_pb2.Task, **more: bool) -> bytes:
    told = {
        "type": f"task.{record.state.lower()}",
        "timestamp": task.update_time.ToJsonString(),
        "data": {"task": MessageToDict(task, preserving_proto_field_name=True), **more},
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
