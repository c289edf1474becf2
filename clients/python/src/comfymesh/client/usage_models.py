"""What the SDK shows of usage."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class UsageDimension(StrEnum):
    """By what usage can be told apart."""

    HOUR = "HOUR"
    TENANT = "TENANT"
    WORKFLOW = "WORKFLOW"
    MODELS = "MODELS"
    GPU_CLASS = "GPU_CLASS"
    OUTCOME = "OUTCOME"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What attempts took of instances. What is not told apart is empty.

    Attributes:
        hour: The hour in which the mesh heard of their ends.
        tenant: ``tenants/{tenant}``.
        workflow: ``workflows/{workflow}``; ``-`` for what exceeded 256 kinds of work in an hour of a tenant.
        models: Model files, without LoRAs, at most eight.
        gpu_class: Class of the GPU.
        outcome: SUCCEEDED, CANCELLED, RELEASED, or the reason of a failure.
        attempts: How many.
        load_seconds: GPU-seconds in which models were loaded.
        run_seconds: All other GPU-seconds.
        charged_seconds: GPU-seconds that the tenant is charged with.
        wasted_seconds: GPU-seconds of attempts that did not succeed, whoever is charged with them.
    """

    hour: datetime | None = None
    tenant: str = ""
    workflow: str = ""
    models: tuple[str, ...] = ()
    gpu_class: str = ""
    outcome: str = ""
    attempts: int = 0
    load_seconds: float = 0.0
    run_seconds: float = 0.0
    charged_seconds: float = 0.0
    wasted_seconds: float = 0.0

    @property
    def gpu_seconds(self) -> float:
        """For how long instances were busy."""
        return self.load_seconds + self.run_seconds


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What was used.

    Attributes:
        rows: Sorted by what is told apart.
        total: Their sum.
        through_time: Up to when everything is counted; None before anything was.
    """

    rows: tuple[UsageRow, ...]
    total: UsageRow
    through_time: datetime | None = None
