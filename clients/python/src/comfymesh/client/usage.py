"""Tells what tenants have used."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from comfymesh.client.calls import Calls
from comfymesh.client.paging import Pages
from comfymesh.client.usage_models import UsageReport, UsageRow
from comfymesh.v1 import usage_pb2
from comfymesh.v1 import usage_service_pb2 as usage_pb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from comfymesh.client.usage_models import UsageDimension

_PAGE = 1000


class UsageCalls(Calls):
    """The part of a client that tells what was used."""

    async def usage(
        self,
        tenant: str = "",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        group_by: Sequence[UsageDimension] = (),
    ) -> UsageReport:
        """GPU-seconds of whole hours.

        Args:
            tenant: ``tenants/{tenant}``, or its last part alone, ``-`` for all; default: the caller's own. Any but that
                takes the scope admin.
            start: Any moment in the first hour; default: 24 hours before the end.
            end: An hour that has begun by then is in; default: now.
            group_by: What is told apart; without any, there is one row.

        Raises:
            NotFound: There is no such tenant, for this caller.
            InvalidRequest: The range is empty, or longer than 400 days.
            ComfyMeshError: The call failed.
        """
        request = usage_pb.QueryUsageRequest(
            tenant=_tenant_name(tenant),
            group_by=[f"USAGE_DIMENSION_{each}" for each in group_by],
            page_size=_PAGE,
        )
        for field, moment in ((request.start_time, start), (request.end_time, end)):
            if moment is not None:
                field.FromDatetime(moment.astimezone(UTC))
        pages = Pages(
            request, lambda: self._ask(lambda stubs, seconds: stubs.usage.QueryUsage(request, timeout=seconds))
        )
        answers = [page async for page in pages]
        return _report([_row(row) for answer in answers for row in answer.rows], answers[-1])


def _tenant_name(tenant: str) -> str:
    return tenant if not tenant or "/" in tenant else f"tenants/{tenant}"


def _report(rows: Sequence[UsageRow], answer: usage_pb.QueryUsageResponse) -> UsageReport:
    through = answer.through_time.ToDatetime(UTC) if answer.HasField("through_time") else None
    return UsageReport(tuple(rows), _row(answer.total), through)


def _row(message: usage_pb2.UsageRow) -> UsageRow:
    return UsageRow(
        hour=message.hour.ToDatetime(UTC) if message.HasField("hour") else None,
        tenant=message.tenant,
        workflow=message.workflow,
        models=tuple(message.models),
        gpu_class=message.gpu_class,
        outcome=message.outcome,
        attempts=message.attempts,
        load_seconds=message.load_seconds,
        run_seconds=message.run_seconds,
        charged_seconds=message.charged_seconds,
        wasted_seconds=message.wasted_seconds,
    )
