"""From the messages of a fleet to values."""

from __future__ import annotations

from comfymesh.client.convert import enum_from_proto, time_from_proto
from comfymesh.client.fleet_models import Availability, Gpu, Host, Instance, InstanceState, Node, NodeState
from comfymesh.v1 import node_pb2


def node_from_proto(message: node_pb2.Node) -> Node:
    """A node."""
    return Node(
        name=message.name,
        state=enum_from_proto(NodeState, node_pb2.Node.State.Name, message.state, "STATE_"),
        availability=enum_from_proto(
            Availability, node_pb2.Node.Availability.Name, message.availability, "AVAILABILITY_"
        ),
        labels=dict(message.labels),
        gpus=tuple(_gpu(gpu) for gpu in message.gpus),
        instances=tuple(_instance(instance) for instance in message.instances),
        agent_version=message.agent_version,
        last_report_time=time_from_proto(message, "last_report_time"),
        host=Host(
            message.host.memory_bytes,
            message.host.memory_available_bytes,
            message.host.disk_bytes,
            message.host.disk_free_bytes,
        ),
        wanted_availability=enum_from_proto(
            Availability, node_pb2.Node.Availability.Name, message.wanted_availability, "AVAILABILITY_"
        ),
        wanted_reason=message.wanted_reason,
    )


def _instance(message: node_pb2.Instance) -> Instance:
    return Instance(
        name=message.name,
        state=enum_from_proto(InstanceState, node_pb2.Instance.State.Name, message.state, "STATE_"),
        state_reason=message.state_reason,
        comfyui_version=message.comfyui_version,
        runtime=message.runtime,
        slots=message.slots,
        held_attempts=message.held_attempts,
        node_class_count=message.node_class_count,
        model_file_count=message.model_file_count,
        model_file_bytes=message.model_file_bytes,
        memory_bytes=message.memory_bytes,
        resident_models=tuple(message.resident_models),
        gpu_class=message.gpu_class,
        vram_bytes=message.vram_bytes,
        pool=message.pool,
        labels=dict(message.labels),
    )


def _gpu(message: node_pb2.Gpu) -> Gpu:
    return Gpu(
        uuid=message.uuid,
        model=message.model,
        memory_bytes=message.memory_bytes,
        memory_used_bytes=message.memory_used_bytes,
        utilization_percent=message.utilization_percent if message.HasField("utilization_percent") else None,
        temperature_celsius=message.temperature_celsius if message.HasField("temperature_celsius") else None,
        uncorrected_errors=message.uncorrected_errors if message.HasField("uncorrected_errors") else None,
    )
