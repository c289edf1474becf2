"""Finds and stops single prompts on servers of every age.

By the jobs routes where they exist, else by queue and history: ComfyUI protocol notes, sections 5, 6 and 16.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any

from comfymesh.agent.comfyui.errors import RouteMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.agent.comfyui.http import ComfyHttp


class Standing(Enum):
    """Where a prompt is."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


_STANDING_OF_JOB = {
    "pending": Standing.PENDING,
    "in_progress": Standing.RUNNING,
    "completed": Standing.ENDED,
    "failed": Standing.ENDED,
    "cancelled": Standing.ENDED,
}


class PromptControl:
    """Looks for prompts and stops them.

    Args:
        http: The server.
        stop_waits: Waits in seconds between looks while a prompt is stopped without the jobs routes.
        history_waits: Waits in seconds between reads of a history entry that should be there and is not.
    """

    def __init__(self, http: ComfyHttp, *, stop_waits: Sequence[float], history_waits: Sequence[float]) -> None:
        self._http = http
        self._stop_waits = stop_waits
        self._history_waits = history_waits
        self._has_jobs = self._has_job_cancel = True

    def reset(self) -> None:
        """Forget which routes exist: after a restart the server may be another version."""
        self._has_jobs = self._has_job_cancel = True

    async def look(self, prompt_id: str) -> Standing:
        """Ask where a prompt is now.

        Args:
            prompt_id: The prompt.
        """
        if self._has_jobs:
            try:
                job = await self._http.job(prompt_id)
            except RouteMissing:
                self._has_jobs = False
            else:
                standing = Standing.UNKNOWN if job is None else _STANDING_OF_JOB.get(str(job.get("status")))
                if standing is not None:
                    return standing
        return await self._look_by_hand(prompt_id)

    async def entry(self, prompt_id: str) -> dict[str, Any] | None:
        """Read the history entry of a prompt that ended; again for a while if it is late.

        Args:
            prompt_id: The prompt.

        Returns:
            The entry; None if it did not come.
        """
        entry = await self._http.history(prompt_id)
        for wait in self._history_waits:
            if entry is not None:
                break
            await asyncio.sleep(wait)
            entry = await self._http.history(prompt_id)
        return entry

    async def stop(self, prompt_id: str) -> None:
        """Stop a prompt, whether it waits or runs; nothing happens if it does neither.

        Args:
            prompt_id: The prompt.
        """
        if self._has_job_cancel:
            try:
                await self._http.cancel_job(prompt_id)
            except RouteMissing:
                self._has_job_cancel = False
            else:
                return
        await self._stop_by_hand(prompt_id)

    async def _look_by_hand(self, prompt_id: str) -> Standing:
        # The queue first: in the other order a prompt that ends in between would be in neither.
        queue = await self._http.queue()
        if prompt_id in queue.running:
            return Standing.RUNNING
        if prompt_id in queue.pending:
            return Standing.PENDING
        return Standing.UNKNOWN if await self._http.history(prompt_id) is None else Standing.ENDED

    async def _stop_by_hand(self, prompt_id: str) -> None:
        """Delete it while it waits, interrupt it while it runs.

        An interrupt between its leaving the queue and its start is lost without a sign, hence the further looks.
        """
        for wait in self._stop_waits:
            queue = await self._http.queue()
            if prompt_id in queue.pending:
                await self._http.delete_queued(prompt_id)
            elif prompt_id in queue.running:
                await self._http.interrupt(prompt_id)
            else:
                return
            await asyncio.sleep(wait)
