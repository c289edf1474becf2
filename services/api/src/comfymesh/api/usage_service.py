"""comfymesh.v1.UsageService."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import paging, usage
from comfymesh.api.access import caller
from comfymesh.api.access.scopes import Scope
from comfymesh.api.errors import Violation, invalid, not_found
from comfymesh.bus.port import Bus
from comfymesh.tasks.ledger import HOUR, begin
from comfymesh.tasks.moments import seconds
from comfymesh.v1 import usage_pb2, usage_service_pb2, usage_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_ALL_TENANTS = names.tenant("-")
_DAY = 24 * HOUR
_LONGEST = 400 * _DAY
_LATEST = 253402300800
"""The year 10000, seconds since the epoch: what comes later has no name in the ledger."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: after so many rows of what was asked for first at `asked`, and was known up to `through`."""

    after: int
    asked: float
    through: float = 0.0


class UsageService(usage_service_pb2_grpc.UsageServiceServicer):
    """Tells what tenants have used.

    Args:
        bus: Where the ledger is.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._answers = usage.Answers()

    async def QueryUsage(
        self, request: usage_service_pb2.QueryUsageRequest, context: Context
    ) -> usage_service_pb2.QueryUsageResponse:
        """See the proto."""
        place = _place(request) if request.page_token else _Place(0, self._clock())
        end = seconds(request.end_time) if request.HasField("end_time") else place.asked
        start = seconds(request.start_time) if request.HasField("start_time") else end - _DAY
        if wrong := [*paging.violations(request.page_size), *_violations(request, start, end)]:
            raise invalid(wrong)
        group_by = tuple(sorted(set(request.group_by)))
        asked = usage.Query(_tenant(request.tenant), begin(start), begin(end + HOUR - 1e-6), group_by)
        kept = self._answers.get(asked, place.through) if request.page_token else None
        found = kept or await usage.query(self._bus, asked)
        return self._page(request, asked, found, place)

    def _page(
        self, request: usage_service_pb2.QueryUsageRequest, asked: usage.Query, found: usage.Usage, place: _Place
    ) -> usage_service_pb2.QueryUsageResponse:
        until = place.after + paging.size(request.page_size)
        answer = usage_service_pb2.QueryUsageResponse(rows=found.rows[place.after : until], total=found.total)
        if until < len(found.rows):
            self._answers.keep(asked, found)
            answer.next_page_token = paging.make_token(request, [until, place.asked, found.through])
        else:
            self._answers.drop(asked, found.through)
        if found.through:
            answer.through_time.FromMicroseconds(round(found.through * 1e6))
        return answer


def _place(request: usage_service_pb2.QueryUsageRequest) -> _Place:
    after, asked, through = paging.read_token(request, request.page_token, int, float, float)
    return _Place(max(int(after), 0), float(asked), float(through))


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
