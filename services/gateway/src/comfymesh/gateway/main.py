"""The gateway's process."""

from __future__ import annotations

import asyncio
import logging

from comfymesh.client import AsyncClient, RetryPolicy, Tls
from comfymesh.gateway.audience import Audience, Audiences
from comfymesh.gateway.mesh import Mesh, current_key
from comfymesh.gateway.server import serving
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.gateway.state import Gateway, Turns, features
from comfymesh.runtime import service, supervisor
from comfymesh.runtime.background import Background

logger = logging.getLogger(__name__)


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    async with _client(settings) as client, Background() as background:
        mesh = Mesh(client)

        def audience() -> Audience:
            return Audience(mesh, settings, background)

        audiences = Audiences(audience, background, settings.gateway_linger_seconds)
        large = asyncio.Semaphore(settings.gateway_max_uploads)
        arriving = Turns(settings.gateway_max_uploads)
        reading = Turns(settings.gateway_max_bodies)
        parts = Gateway(settings, mesh, audiences, large, arriving, reading, features(settings))
        async with serving(parts) as address:
            logger.info("listening on %s", address, extra={"action": "listening", "address": address})
            supervisor.ready(f"listening on {address}")
            await service.until(stop, background.failed)


def _client(settings: GatewaySettings) -> AsyncClient:
    tls = Tls(
        settings.gateway_tls_ca or None, settings.gateway_tls_certificate or None, settings.gateway_tls_key or None
    )
    return AsyncClient(
        settings.gateway_target,
        timeout=settings.gateway_call_seconds,
        retries=RetryPolicy(),
        api_key=current_key,
        tls=tls if settings.gateway_tls else False,
        allow_plaintext=settings.gateway_allow_plaintext,
    )


def main() -> None:
    """Run the gateway until it is told to stop."""
    service.run("gateway", GatewaySettings, serve)
