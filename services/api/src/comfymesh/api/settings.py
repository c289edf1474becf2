"""Settings of the API."""

from __future__ import annotations

from pydantic import Field

from comfymesh.runtime.settings import ServiceSettings


class ApiSettings(ServiceSettings):
    """Read from environment variables with the prefix COMFYMESH_."""

    api_listen: str = Field(
        default="127.0.0.1:7700",
        description="Host and port to listen on. Callers are not authenticated: keep it on loopback or behind a proxy.",
    )
    api_drain_seconds: float = Field(
        default=5.0, ge=0, description="How long calls under way may take to end when the server stops. Seconds."
    )
    api_max_graph_bytes: int = Field(default=4 * 1024 * 1024, gt=0, description="Largest graph taken, in bytes.")
    api_max_asset_bytes: int = Field(default=100 * 1024 * 1024, gt=0, description="Largest asset taken, in bytes.")
    api_heartbeat_seconds: float = Field(
        default=15.0, gt=0, description="A watcher who was told nothing for so long is sent a heartbeat. Seconds."
    )
    api_desk: bool = Field(
        default=False,
        description="Answer nodes that have NATS accounts of their own. Needed where there are any. See docs/nats.md.",
    )
    api_settle_seconds: float = Field(
        default=30.0,
        ge=0,
        description="So long after the start, missing nodes may still come: refusals ask to try again. Seconds.",
    )
