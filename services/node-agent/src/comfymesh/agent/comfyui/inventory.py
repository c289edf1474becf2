"""What a ComfyUI has on its disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.errors import ComfyError

if TYPE_CHECKING:
    from comfymesh.agent.comfyui.http import ComfyHttp

_MOST_FOLDERS = 200


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an instance has, counted.

    Attributes:
        node_classes: Its node classes.
        model_files: Its model files.
        model_bytes: Their size together; 0 where the server does not tell sizes.
    """

    node_classes: int = 0
    model_files: int = 0
    model_bytes: int = 0


async def take_inventory(http: ComfyHttp, node_classes: int) -> Inventory:
    """Count what a server has. One that is too old to tell sizes has no model files here.

    Args:
        http: The server.
        node_classes: How many node classes its catalog has.

    Raises:
        ComfyUnreachable: It did not answer.
    """
    try:
        folders = await http.model_folders()
        sizes = [size for folder in folders[:_MOST_FOLDERS] for size in (await http.model_files(folder)).values()]
    except ComfyError:
        return Inventory(node_classes)
    return Inventory(node_classes, len(sizes), sum(sizes))
