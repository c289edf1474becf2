"""Whether the events of a server arrive, and under which client id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.errors import REASON_NO_SOCKET, ComfyUnreachable
from comfymesh.runtime.patience import is_set

if TYPE_CHECKING:
    from comfymesh.agent.comfyui.http import ComfyHttp
    from comfymesh.agent.comfyui.timings import SessionTimings


class Hearing:
    """The state of the event socket, to be waited for.

    Attributes:
        client_id: Whose events arrive; None while none do.
    """

    def __init__(self) -> None:
        self.client_id: str | None = None
        self._begun = asyncio.Event()
        self._lost = asyncio.Event()

    @property
    def now(self) -> bool:
        """Whether events arrive."""
        return self._begun.is_set()

    def begins(self, client_id: str) -> None:
        """Events arrive from now on."""
        self.client_id = client_id
        self._lost.clear()
        self._begun.set()

    def ends(self) -> None:
        """No events arrive any more."""
        self.client_id = None
        self._begun.clear()
        self._lost.set()

    async def wait(self) -> None:
        """Wait until events arrive."""
        await self._begun.wait()

    async def lost(self, within: float) -> bool:
        """Whether events have ceased to arrive, or do so within so many seconds."""
        return await is_set(self._lost, within)

    async def as_client(self, http: ComfyHttp, timings: SessionTimings) -> str:
        """The client id under which events arrive, as soon as they do.

        Raises:
            ComfyUnreachable: The server refuses connections, or no socket opens in time.
            ComfyError: It answers with an error.
        """
        if self.client_id is not None:
            return self.client_id
        try:
            async with asyncio.timeout(timings.connect):
                while (client_id := self.client_id) is None:
                    if not await is_set(self._begun, timings.recheck):
                        await http.system_stats()  # A server that refuses connections has gone: no need to wait.
        except TimeoutError:
            detail = f"no event socket within {timings.connect:g} s"
            raise ComfyUnreachable("GET /ws", REASON_NO_SOCKET, detail) from None
        return client_id
