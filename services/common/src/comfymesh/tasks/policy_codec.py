"""Policy settings as protobuf messages and back. Which there are is declared in `policy.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from comfymesh.tasks.policy import PolicySettings, TenantPolicy, scalars
from comfymesh.v1 import scheduling_policy_pb2

TENANTS = "tenants"

_Message = scheduling_policy_pb2.SchedulingPolicy | scheduling_policy_pb2.TenantPolicy


def to_message(settings: PolicySettings) -> scheduling_policy_pb2.SchedulingPolicy:
    """The settings as a message, every one of them set."""
    message = scheduling_policy_pb2.SchedulingPolicy(**_values(settings))
    for name, tenant in sorted(settings.tenants.items()):
        message.tenants[name].CopyFrom(scheduling_policy_pb2.TenantPolicy(**_values(tenant)))
    return message


def from_message(message: scheduling_policy_pb2.SchedulingPolicy) -> PolicySettings:
    """The settings in a message; what is not set has its default."""
    tenants = {name: TenantPolicy(**_given(TenantPolicy, tenant)) for name, tenant in message.tenants.items()}
    return PolicySettings(tenants=tenants, **_given(PolicySettings, message))


def paths() -> frozenset[str]:
    """What a mask may name, besides single tenants."""
    return frozenset({TENANTS, *(declared.name for declared in scalars(PolicySettings))})


def updated(settings: PolicySettings, given: PolicySettings, mask: Iterable[str]) -> PolicySettings:
    """The settings after a change of what the mask names: paths, or `tenants.{tenant}`."""
    tenants, scalar = dict(settings.tenants), dict[str, Any]()
    for path in mask:
        whole, _, tenant = path.partition(".")
        if whole != TENANTS:
            scalar[whole] = getattr(given, whole)
        elif not tenant:
            tenants = dict(given.tenants)
        elif tenant in given.tenants:
            tenants[tenant] = given.tenants[tenant]
        else:
            tenants.pop(tenant, None)
    return replace(settings, tenants=tenants, **scalar)


def _values(settings: PolicySettings | TenantPolicy) -> dict[str, Any]:
    return {declared.name: getattr(settings, declared.name) for declared in scalars(type(settings))}


def _given(kind: type[PolicySettings | TenantPolicy], message: _Message) -> dict[str, Any]:
    names = (declared.name for declared in scalars(kind))
    return {name: getattr(message, name) for name in names if message.HasField(name)}
