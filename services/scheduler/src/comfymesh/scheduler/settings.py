"""Settings of the scheduler."""

from __future__ import annotations

from pydantic import Field

from comfymesh.bus.streams import REPORT_TTL
from comfymesh.runtime.settings import LogReaderSettings


class SchedulerSettings(LogReaderSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    scheduler_report_ttl: float = Field(
        default=REPORT_TTL.total_seconds(),
        gt=0,
        description="A node that has not reported for so long is lost, and its attempts run elsewhere. Seconds.",
    )
    task_retention_days: float = Field(
        default=30.0,
        ge=1,
        description="A task is kept for so long after its end, and its request id with it: a day at least. Days.",
    )
    scheduler_resend_after: float = Field(
        default=4.0, gt=0, description="Work that a node's report lacks for so long is sent to it again. Seconds."
    )
