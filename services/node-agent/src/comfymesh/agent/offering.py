"""What an instance offers: its catalog, packed to be stored, and counted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.comfyui.inventory import Inventory, take_inventory
from comfymesh.agent.domain.folders import without_ours
from comfymesh.graphs.catalog import MODEL_SIZES


@dataclass(frozen=True, slots=True)
class Offer:
    """What an instance offers.

    Attributes:
        packed: Node classes and sizes of model files, as text that is the same whenever they are.
        inventory: All of it, counted.
    """

    packed: bytes
    inventory: Inventory


async def read_offer(http: ComfyHttp) -> Offer:
    """Ask a server what it offers.

    Raises:
        ComfyUnreachable, ComfyError: It does not say.
    """
    info = await http.object_info()
    inventory = await take_inventory(http, len(info))
    return Offer(_packed(info, inventory), inventory)


def inventory_of(packed: bytes) -> Inventory:
    """What was packed, counted. Model files of one name are one, and those without a size none."""
    info = json.loads(packed)
    sizes = info.pop(MODEL_SIZES, {})
    return Inventory(len(info), len(sizes), sum(sizes.values()), sizes)


def _packed(info: dict[str, Any], inventory: Inventory) -> bytes:
    told = {**info, MODEL_SIZES: inventory.sizes} if inventory.sizes else info
    return json.dumps(without_ours(told), sort_keys=True, separators=(",", ":")).encode()
