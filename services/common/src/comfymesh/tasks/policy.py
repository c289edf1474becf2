"""What an operator can set of scheduling while the mesh runs. Pure: api and scheduler share it.

A new setting is one line here and one in `scheduling_policy.proto`; whatever checks, stores, shows or changes settings
goes by what is declared here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from comfymesh import names

MOST_TENANTS: Final = 10_000


def setting(default: float, low: float, high: float, means: str) -> Any:  # noqa: ANN401  # as dataclasses.field
    """A number that can be set, from `low` to `high`, both included. `means` is shown to operators."""
    return field(default=default, metadata={"low": low, "high": high, "means": means})


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """What holds for one tenant. Tenants that nobody has named have the defaults."""

    weight: float = setting(1.0, 0.001, 1000.0, "share of GPU-seconds, in proportion to other tenants that wait")
    max_running: int = setting(0, 0, 1_000_000, "attempts that may be under way at once; 0 for any number")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How tasks are ordered and placed."""

    affinity: bool = field(
        default=True,
        metadata={"means": "prefer instances that hold a task's models; without it, first come, first served anywhere"},
    )
    load_aversion: float = setting(
        15.0, 1.0, 1000.0, "a second of loading is priced like so many of running, where a queue asks for an instance"
    )
    spread_after: float = setting(
        60.0, 0.0, 1000.0, "how often a load has to fit into what waits for each instance that holds a model set"
    )
    patience: float = setting(
        3.0, 0.0, 1000.0, "for how many times FIFO's wait a task waits for a warm instance while others idle"
    )
    stay: float = setting(0.5, 0.0, 100.0, "how many times more than others the queue of what an instance holds counts")
    burst: float = setting(
        0.2, 0.0, 1.0, "part of the fleet, times its weight, that a tenant may ask for before that is beyond its share"
    )
    priority_factor: float = setting(10.0, 1.0, 1000.0, "how many times more a task counts for each step of priority")
    breaker_failures: int = setting(
        3,
        0,
        1000,
        "different tasks that fail at an instance in a row, by its fault, before it gets no more; 0 for never",
    )
    breaker_seconds: float = setting(
        30.0, 1.0, 3600.0, "seconds for which such an instance gets nothing, doubled each time that it fails again"
    )
    reserve_after: float = setting(
        60.0, 0.0, 86_400.0, "seconds after which a task that needs much GPU memory has a GPU kept for it; 0 for never"
    )
    reserve_seconds: float = setting(300.0, 1.0, 86_400.0, "seconds for which a GPU is kept at the most")
    preempt_after: float = setting(
        30.0,
        0.0,
        86_400.0,
        "seconds after which a task of priority above 0 has one of lower priority give way; 0 for never",
    )
    preempt_running: bool = field(
        default=False, metadata={"means": "what runs may be interrupted for it, not only what has not begun"}
    )
    tenants: Mapping[str, TenantPolicy] = field(default_factory=dict)

    def tenant(self, name: str) -> TenantPolicy:
        """What holds for a tenant."""
        return self.tenants.get(name, _ANY_TENANT)


_ANY_TENANT: Final = TenantPolicy()


def scalars(kind: type[PolicySettings | TenantPolicy]) -> Iterator[Field[Any]]:
    """Every setting that is a single value."""
    return (declared for declared in fields(kind) if "means" in declared.metadata)


def violations(settings: PolicySettings) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with settings: the field, and what it must be like."""
    yield from _out_of_range("", settings)
    if len(settings.tenants) > MOST_TENANTS:
        yield "tenants", f"has {len(settings.tenants)} entries, at most {MOST_TENANTS} are allowed"
    for name, tenant in settings.tenants.items():
        path = f"tenants[{name[:64]}]"
        if not names.is_node_id(name):
            yield path, "the key must be a tenant: 1 to 63 characters out of a-z0-9-"
        yield from _out_of_range(f"{path}.", tenant)


def _out_of_range(prefix: str, settings: PolicySettings | TenantPolicy) -> Iterator[tuple[str, str]]:
    for declared in scalars(type(settings)):
        value, low, high = getattr(settings, declared.name), declared.metadata.get("low"), declared.metadata.get("high")
        if low is not None and high is not None and not (math.isfinite(value) and low <= value <= high):
            yield prefix + declared.name, f"{value:g} is not between {low:g} and {high:g}"
