"""Stops a prompt in ComfyUI, which may not answer just now."""

from __future__ import annotations

import asyncio
import logging

from comfymesh.agent.claim import Claim
from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.session import ComfySession

logger = logging.getLogger(__name__)

_TRIES = 20
_RETRY_WAIT = 0.25


class Interruption:
    """Stops the prompt of one attempt. What that comes to finds out whoever follows the prompt.

    Args:
        claim: The attempt, to name it in the log.
        session: The session with its instance.
        prompt_id: What ComfyUI calls it.

    Attributes:
        task: What was begun last in the background, which may have ended; for its owner to stop.
    """

    def __init__(self, claim: Claim, session: ComfySession, prompt_id: str) -> None:
        self._claim = claim
        self._session = session
        self._prompt_id = prompt_id
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Stop it in the background, unless that is under way."""
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        """Stop it; returns when ComfyUI has taken the order, or has not for all tries."""
        for _ in range(_TRIES):
            try:
                await self._session.cancel(self._prompt_id)
            except (ComfyUnreachable, ComfyError) as error:
                logger.info("can't stop a prompt now: %s", error, extra=self._claim.fields("stop_failed"))
                await asyncio.sleep(_RETRY_WAIT)
            else:
                return
