"""From the messages of a fleet to values."""

from __future__ import annotations

from comfymesh.client.convert import duration_from_proto, enum_from_proto, time_from_proto
from comfymesh.client.fleet_models import (
    Availability,
    Gpu,
    Host,
    Instance,
    InstanceState,
    Node,
    NodeState,
    Pool,
    Preload,
    PreloadFile,
)
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
        pools=tuple(pool_from_proto(pool) for pool in message.pools),
        preloads=tuple(_preload(preload) for preload in message.preloads),
    )


def pool_from_proto(message: node_pb2.Pool) -> Pool:
    """A pool."""
    return Pool(
        name=message.name,
        runtime=message.runtime,
        image=message.image,
        gpu_uuids=tuple(message.gpu_uuids),
        instances_per_gpu=message.instances_per_gpu,
        shared=message.shared,
        min=message.min if message.HasField("min") else None,
        max=message.max if message.HasField("max") else None,
        idle_time=duration_from_proto(message, "idle_time"),
        queue_time=duration_from_proto(message, "queue_time"),
        memory_bytes=message.memory_bytes,
        labels=dict(message.labels),
        startup_models=tuple(message.startup_models),
        instances=tuple(message.instances),
        serving_count=message.serving_count,
        limit_reason=message.limit_reason,
    )


def _preload(message: node_pb2.Preload) -> Preload:
    files = tuple(PreloadFile(file.name, file.input) for file in message.files)
    return Preload(files, message.pool, message.instance)


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
        preload_problems=tuple(message.preload_problems),
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
