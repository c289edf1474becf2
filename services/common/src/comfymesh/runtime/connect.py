"""Opens the bus as the settings say."""

from __future__ import annotations

from datetime import timedelta

from comfymesh.bus import streams
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.node_bus import NodeBus
from comfymesh.bus.tls import Tls
from comfymesh.runtime.settings import ServiceSettings


async def open_node_bus(settings: ServiceSettings, node: str) -> NodeBus:
    """Connect as a node whose user is in an account of its own, waiting as long as it takes.

    Raises:
        BusUnusableError: the server can't be used; ends the service with a message that says why.
    """
    return await NodeBus.open_for(settings.nats_url, node, tls=nats_tls(settings))


async def open_bus(settings: ServiceSettings, name: str) -> JetStreamBus:
    """Connect as `name`, waiting as long as it takes.

    Raises:
        BusUnusableError: the server or its streams can't be used; ends the service with a message that says why.
    """
    return await JetStreamBus.open(
        settings.nats_url,
        name,
        replicas=settings.nats_replicas,
        plan=streams.plan(timedelta(seconds=settings.progress_retention_seconds)),
        monitor_urls=settings.nats_monitor_url,
        tls=nats_tls(settings),
    )


def nats_tls(settings: ServiceSettings) -> Tls | None:
    """TLS to NATS as it was set; None where nothing was."""
    tls = Tls(settings.nats_tls_ca, settings.nats_tls_certificate, settings.nats_tls_key)
    return tls if tls != Tls() else None
