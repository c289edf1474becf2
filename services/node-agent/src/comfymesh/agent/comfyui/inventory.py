"""What a ComfyUI has on its disk."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.errors import ComfyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from comfymesh.agent.comfyui.http import ComfyHttp

_MOST_FOLDERS = 200


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an instance has, counted.

    Attributes:
        node_classes: Its node classes.
        model_files: Its model files.
        model_bytes: Their size together; 0 where the server does not tell sizes.
        sizes: The size of each, by its name. Of several of one name, in different folders, none.
    """

    node_classes: int = 0
    model_files: int = 0
    model_bytes: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)


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
        found = [file for folder in folders[:_MOST_FOLDERS] for file in (await http.model_files(folder)).items()]
    except ComfyError:
        return Inventory(node_classes)
    return Inventory(node_classes, len(found), sum(size for _, size in found), _unambiguous(found))


def _unambiguous(files: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sizes by name. A graph names no folder: what has two sizes under one name has none."""
    sizes = defaultdict[str, set[int]](set)
    for name, size in files:
        sizes[name].add(size)
    return {name: size for name, (size, *others) in sizes.items() if size and not others}
