"""Node reports as the core knows them."""

from __future__ import annotations

from comfymesh import names
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Report
from comfymesh.tasks.record import Key
from comfymesh.v1 import node_pb2
from comfymesh.wire.v1 import node_report_pb2

_STATE_OF = {node_pb2.Instance.State.Value(f"STATE_{state}"): state for state in InstanceState}


def from_message(message: node_report_pb2.NodeReport) -> Report:
    """The report in a message.

    Raises:
        names.MalformedNameError: it names no node.
    """
    catalogs = {offer.instance: offer.catalog.sha256 for offer in message.offers}
    return Report(
        node=names.parse_node(message.node.name),
        boot_id=message.boot_id,
        open=message.node.availability == node_pb2.Node.AVAILABILITY_OPEN,
        instances={i.name: _instance(i, catalogs.get(i.name, "")) for i in message.node.instances},
        held={Key(held.tenant, held.task_id): held.attempt for held in message.attempts},
        labels=dict(message.node.labels),
    )


def _instance(message: node_pb2.Instance, catalog: str) -> Instance:
    state = _STATE_OF.get(message.state, InstanceState.DOWN)
    return Instance(
        name=message.name,
        state=state,
        slots=message.slots,
        catalog=catalog,
        resident=tuple(message.resident_models),
        gpu_class=message.gpu_class,
        vram_bytes=message.vram_bytes,
        pool=message.pool,
        labels=dict(message.labels),
        gpu=message.gpu_uuid,
    )
