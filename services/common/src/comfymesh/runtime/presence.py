"""A process shows that it is there, so that somebody can notice when it is not. Only the latest word counts."""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusError

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two words."""


async def show(bus: Bus, role: str) -> None:
    """Say every two seconds, for ever, that a process in `role` is there."""
    subject = subjects.presence(role, uuid4().hex)
    while True:
        try:
            await bus.publish(subject, b"")
        except BusError as error:
            logger.debug("nobody was told that %s is there: %s", role, error)
        await asyncio.sleep(INTERVAL)
