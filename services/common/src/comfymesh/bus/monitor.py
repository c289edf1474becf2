"""Asks a NATS server's monitoring port for what it does not tell its clients."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from typing import Any
from urllib.request import urlopen

from comfymesh.bus.server import Server, sync_seconds

logger = logging.getLogger(__name__)

_TIMEOUT = 2.0


async def read_sync(urls: str, server: Server) -> float | None:
    """The sync setting of `server` in seconds (see `sync_seconds`); None where it can't be learned.

    Args:
        urls: Monitoring ports, such as http://127.0.0.1:8222, separated by commas. The one that is `server`'s counts.
        server: The server that we are connected to.
    """
    for url in filter(None, urls.split(",")):
        try:
            told = await asyncio.to_thread(_read, f"{url.strip().rstrip('/')}/varz")
        except (OSError, ValueError, http.client.HTTPException) as error:
            logger.warning("can't read the monitoring port of NATS at %s: %s", url, error)
        else:
            if told.get("server_id") == server.server_id:
                return sync_seconds(told)
    return None


def _read(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("the URL must begin with http:// or https://")
    with urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310  # checked above
        told: dict[str, Any] = json.load(answer)
    return told
