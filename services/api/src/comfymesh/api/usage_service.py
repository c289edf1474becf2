"""comfymesh.v1.UsageService."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import paging, usage
from comfymesh.api.access import caller
from comfymesh.api.access.scopes import Scope
from comfymesh.api.errors import Violation, invalid, not_found
from comfymesh.bus.port import Bus
from comfymesh.tasks.codec import seconds
from comfymesh.tasks.ledger import HOUR, begin
from comfymesh.v1 import usage_pb2, usage_service_pb2, usage_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_ALL_TENANTS = names.tenant("-")
_DAY = 24 * HOUR
_LONGEST = 400 * _DAY
_LATEST = 253402300800
"""The year 10000, seconds since the epoch: what comes later has no name in the ledger."""


class UsageService(usage_service_pb2_grpc.UsageServiceServicer):
    """Tells what tenants have used.

    Args:
        bus: Where the ledger is.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock

    async def QueryUsage(
        self, request: usage_service_pb2.QueryUsageRequest, context: Context
    ) -> usage_service_pb2.QueryUsageResponse:
        """See the proto."""
        end = seconds(request.end_time) if request.HasField("end_time") else self._clock()
        start = seconds(request.start_time) if request.HasField("start_time") else end - _DAY
        if wrong := [*paging.violations(request.page_size), *_violations(request, start, end)]:
            raise invalid(wrong)
        after = int(paging.read_token(request, request.page_token, int)[0]) if request.page_token else 0
        group_by = tuple(sorted(set(request.group_by)))
        asked = usage.Query(_tenant(request.tenant), begin(start), begin(end + HOUR - 1e-6), group_by)
        found, size = await usage.query(self._bus, asked), paging.size(request.page_size)
        more = len(found.rows) > after + size
        answer = usage_service_pb2.QueryUsageResponse(
            rows=found.rows[after : after + size],
            next_page_token=paging.make_token(request, [after + size]) if more else "",
            total=found.total,
        )
        if found.through:
            answer.through_time.FromMicroseconds(round(found.through * 1e6))
        return answer


def _violations(request: usage_service_pb2.QueryUsageRequest, start: float, end: float) -> Iterator[Violation]:
    if not 0 <= end < _LATEST:
        yield Violation("end_time", "must be between the years 1970 and 9999")
    elif not 0 <= start < end:
        yield Violation("start_time", "must be before end_time, and not before 1970")
    elif end - start > _LONGEST:
        yield Violation("start_time", f"must be at most {_LONGEST // _DAY} days before end_time; ask for each part")
    if any(number not in usage_pb2.UsageDimension.values() or not number for number in request.group_by):
        known = ", ".join(usage_pb2.UsageDimension.keys()[1:])
        yield Violation("group_by", f"names what usage can't be told apart by; known are {known}")


def _tenant(name: str) -> str:
    """Whose usage the caller may see of what it asks for, as the ledger names it."""
    who = caller.current()
    if not name:
        return who.tenant
    everybody = name == _ALL_TENANTS
    tenant = usage.EVERYBODY if everybody else names.parse_tenant(name)
    if tenant != who.tenant and Scope.ADMIN not in who.scopes:
        raise not_found("tenant", name)
    return tenant
