"""What the routes share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from weakref import WeakValueDictionary

from aiohttp import web

from comfymesh.gateway.audience import Audiences
from comfymesh.gateway.mesh import Mesh
from comfymesh.gateway.settings import GatewaySettings


class Turns:
    """Turns of each caller: whoever is slow keeps only itself waiting.

    Args:
        most: A caller has so many at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, caller: str) -> asyncio.Semaphore:
        """The turns of a caller. They are forgotten once nobody holds one."""
        return self._of.setdefault(caller, asyncio.Semaphore(self._most))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway.

    Attributes:
        settings: Its settings.
        mesh: The mesh.
        audiences: Sockets, and what they are told.
        large: Taken by who has a whole file in memory.
        arriving: Taken by uploads until they are answered.
        reading: Taken by other large bodies while they arrive.
        features: What it can do, as ComfyUI tells it.
    """

    settings: GatewaySettings
    mesh: Mesh
    audiences: Audiences
    large: asyncio.Semaphore
    arriving: Turns
    reading: Turns
    features: dict[str, object]


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
"""Where the routes find it."""


def features(settings: GatewaySettings) -> dict[str, object]:
    """What the gateway can do, as ComfyUI 0.33 tells what it can do."""
    return {
        "supports_preview_metadata": True,
        "supports_model_type_tags": False,
        "max_upload_size": settings.gateway_max_upload_bytes,
        "extension": {},
        "node_replacements": False,
        "assets": False,
    }
