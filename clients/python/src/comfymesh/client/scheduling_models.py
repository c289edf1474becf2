"""What the SDK shows of scheduling: where tasks may run, why they wait, how they are ordered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

Setting = bool | int | float
"""The value of a setting of the policy."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a task may run, beyond what its graph needs. All that is set must hold.

    Attributes:
        labels: Labels that the node must have.
        gpu_class: The instance's class of GPU, as `Instance.gpu_class` shows it.
        min_vram_bytes: Memory that the instance's GPU must have at least.
        pool: The pool that the instance must be of.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    gpu_class: str = ""
    min_vram_bytes: int = 0
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of an attempt went.

    Attributes:
        load: Time in which models were loaded.
        run: The rest of the execution.
        loaded_models: Model files that were loaded, in order.
        gpu_class: Class of the GPU, or empty.
        peak_vram_bytes: The most of its memory that the instance held meanwhile, or 0.
    """

    load: timedelta
    run: timedelta
    loaded_models: tuple[str, ...] = ()
    gpu_class: str = ""
    peak_vram_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A time that is expected, from when it was told, and how far off such expectations typically have been."""

    remaining: timedelta
    error: timedelta


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a task still waits, and what is expected of it.

    Attributes:
        reason: A sentence for people.
        instance_count: Instances that were considered.
        rejected: How many of them each filter or condition rules out at the moment.
        node: Where it is expected to run, ``nodes/{node}``, or empty.
        instance: The instance on that node, or empty.
        start: When it is expected to begin, or None.
        end: When it is expected to have ended, or None.
    """

    reason: str
    instance_count: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    node: str = ""
    instance: str = ""
    start: Estimate | None = None
    end: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How the scheduler orders and places tasks.

    Attributes:
        settings: Every setting of the mesh as a whole, by name.
        tenants: Settings of single tenants, by tenant and name.
        etag: The version, to change this one and no later one.
        update_time: When it was changed last; None before the first change.
    """

    settings: Mapping[str, Setting]
    tenants: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    etag: str = ""
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueueShare:
    """A part of the queue.

    Attributes:
        waiting_count: Tasks that wait.
        running_count: Tasks of which an attempt is under way.
        oldest_create_time: When the oldest that waits was created, or None.
        start: When the next of them is expected to begin, or None.
    """

    waiting_count: int = 0
    running_count: int = 0
    oldest_create_time: datetime | None = None
    start: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits and runs.

    Attributes:
        total: All tasks.
        tenants: By tenant, those with the most waiting tasks first.
        priorities: By priority, highest first.
        model_sets: By the model files that tasks need, as pairs, those with the most waiting tasks first.
    """

    total: QueueShare
    tenants: Mapping[str, QueueShare] = field(default_factory=dict)
    priorities: Mapping[int, QueueShare] = field(default_factory=dict)
    model_sets: tuple[tuple[tuple[str, ...], QueueShare], ...] = ()
