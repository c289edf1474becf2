"""The part of a client without asyncio that tells what was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from comfymesh.client.aio import AsyncClient
    from comfymesh.client.loop_thread import LoopThread
    from comfymesh.client.usage_models import UsageDimension, UsageReport


class SyncUsageCalls:
    """Usage."""

    _client: AsyncClient
    _thread: LoopThread

    def usage(
        self,
        tenant: str = "",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        group_by: Sequence[UsageDimension] = (),
    ) -> UsageReport:
        """GPU-seconds of whole hours. See `AsyncClient.usage`."""
        return self._thread.call(self._client.usage(tenant, start=start, end=end, group_by=group_by))
