"""Messages of scheduling as values of the SDK, and the other way round. Belongs to `convert`."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from comfymesh.client.scheduling_models import (
    Estimate,
    Placement,
    Policy,
    Queue,
    QueueShare,
    Timing,
    Waiting,
)
from comfymesh.v1 import scheduling_policy_pb2, task_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfymesh.client.scheduling_models import Setting
    from comfymesh.v1 import queue_pb2

    SettingsMessage = scheduling_policy_pb2.SchedulingPolicy | scheduling_policy_pb2.TenantPolicy

_NO_SETTINGS = frozenset({"etag", "update_time", "tenants"})


def placement_to_proto(placement: Placement) -> task_pb2.Placement:
    """The message for a wish."""
    return task_pb2.Placement(
        labels=placement.labels,
        gpu_class=placement.gpu_class,
        min_vram_bytes=placement.min_vram_bytes,
        pool=placement.pool,
    )


def placement_from_proto(message: task_pb2.Placement) -> Placement:
    """A wish."""
    return Placement(dict(message.labels), message.gpu_class, message.min_vram_bytes, message.pool)


def timing_from_proto(message: task_pb2.Timing) -> Timing:
    """Where the time of an attempt went."""
    load, run = message.load_duration.ToTimedelta(), message.run_duration.ToTimedelta()
    return Timing(load, run, tuple(message.loaded_models), message.gpu_class, message.peak_vram_bytes)


def waiting_from_proto(message: queue_pb2.Waiting) -> Waiting:
    """Why a task waits."""
    return Waiting(
        reason=message.reason,
        instance_count=message.instance_count,
        rejected=dict(message.rejected),
        node=message.node,
        instance=message.instance,
        start=_estimate(message.start) if message.HasField("start") else None,
        end=_estimate(message.end) if message.HasField("end") else None,
    )


def queue_from_proto(message: queue_pb2.Queue) -> Queue:
    """What waits and runs."""
    return Queue(
        total=_share(message.total),
        tenants={share.tenant: _share(share) for share in message.tenants},
        priorities={share.priority: _share(share) for share in message.priorities},
        model_sets=tuple((tuple(share.models), _share(share)) for share in message.model_sets),
    )


def policy_from_proto(message: scheduling_policy_pb2.SchedulingPolicy) -> Policy:
    """The policy, with every setting that the server knows and this version of the SDK too."""
    return Policy(
        settings=_settings(message),
        tenants={name: _settings(tenant) for name, tenant in sorted(message.tenants.items())},
        etag=message.etag,
        update_time=message.update_time.ToDatetime(tzinfo=UTC) if message.HasField("update_time") else None,
    )


def policy_to_proto(
    settings: Mapping[str, Setting | None], tenants: Mapping[str, Mapping[str, Setting] | None], etag: str
) -> scheduling_policy_pb2.SchedulingPolicy:
    """The message for a change; what is None stays away, and so goes back to its default.

    Raises:
        ValueError: A name or a value that no message can carry.
    """
    message = scheduling_policy_pb2.SchedulingPolicy(etag=etag)
    _set(message, {name: value for name, value in settings.items() if value is not None})
    for tenant, own in tenants.items():
        if own is not None:
            message.tenants[tenant].SetInParent()
            _set(message.tenants[tenant], own)
    return message


def _set(message: SettingsMessage, settings: Mapping[str, Setting]) -> None:
    known = _names(message)
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"there is no setting {name!r}; there are {', '.join(sorted(known))}")
        try:
            setattr(message, name, value)
        except TypeError as error:
            raise ValueError(f"{name} can't be {value!r}: {error}") from None


def _settings(message: SettingsMessage) -> dict[str, Setting]:
    return {name: getattr(message, name) for name in _names(message)}


def _names(message: SettingsMessage) -> list[str]:
    return [field.name for field in message.DESCRIPTOR.fields if field.name not in _NO_SETTINGS]


def _share(message: queue_pb2.QueueShare) -> QueueShare:
    oldest = message.oldest_create_time
    return QueueShare(
        waiting_count=message.waiting_count,
        running_count=message.running_count,
        oldest_create_time=oldest.ToDatetime(tzinfo=UTC) if message.HasField("oldest_create_time") else None,
        start=_estimate(message.start) if message.HasField("start") else None,
    )


def _estimate(message: queue_pb2.Estimate) -> Estimate:
    return Estimate(message.remaining.ToTimedelta(), message.error.ToTimedelta())
