"""A pool as its agent tells of it. Settings of its processes, which may hold secrets, are not among that."""

from __future__ import annotations

from datetime import timedelta

from comfymesh import names
from comfymesh.agent.comfyui.protocol import clean
from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.v1 import node_pb2

_MAX_TEXT = 512


def pool_message(node: str, spec: PoolSpec, limit_reason: str) -> node_pb2.Pool:
    """What is told of a pool.

    Args:
        node: The id of its node.
        spec: Its settings.
        limit_reason: Why no more of its instances run.
    """
    message = node_pb2.Pool(
        name=names.pool(names.node(node), spec.name),
        runtime=str(spec.instance.get("runtime", "")),
        image=clean(str(spec.instance.get("image", "")), _MAX_TEXT),
        gpu_uuids=spec.gpus,
        instances_per_gpu=spec.instances_per_gpu if spec.gpus else 0,
        shared=spec.shared,
        min=spec.least,
        max=spec.size,
        memory_bytes=spec.host_memory_bytes,
        labels=spec.labels,
        startup_models=[file.name for file in spec.preload],
        limit_reason=clean(limit_reason, _MAX_TEXT),
    )
    message.idle_time.FromTimedelta(timedelta(seconds=spec.idle_seconds))
    message.queue_time.FromTimedelta(timedelta(seconds=spec.queue_seconds))
    return message
