"""All that these nodes use of ComfyUI, in one place. Versions differ: what is not there is done without."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger("comfymesh_nodes")


class AnyType(str):
    """A socket type that fits every other. ComfyUI before 0.3.2x knows no `*` and asks whether two types differ."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        """Never different."""
        return False

    __eq__ = str.__eq__
    __hash__ = str.__hash__


ANY = AnyType("*")

InputTypes = dict[str, dict[str, Any]]
"""What a node's INPUT_TYPES answers."""


def free_memory() -> int:
    """Bytes that are free on the device that ComfyUI computes on; on a CPU, of the host's memory."""
    from comfy import model_management  # noqa: PLC0415  # there is none where this is only looked at

    return int(model_management.get_free_memory(model_management.get_torch_device()))


def make_room() -> None:
    """Have ComfyUI put its models out of the device's memory, and give back what is cached there."""
    from comfy import model_management  # noqa: PLC0415

    model_management.unload_all_models()
    model_management.soft_empty_cache()


def show_text(graph_node: str, text: str) -> None:
    """Show a line of text at a graph node, to whoever submitted the prompt. ComfyUI before 0.3.35 can't."""
    from server import PromptServer  # noqa: PLC0415

    server = getattr(PromptServer, "instance", None)
    send = getattr(server, "send_progress_text", None)
    if server is not None and send is not None and server.client_id is not None:
        send(text, graph_node, server.client_id)


def show_progress(graph_node: str | None, value: int, total: int) -> None:
    """Tell how far a graph node is; None for the one that executes."""
    from comfy import utils  # noqa: PLC0415

    utils.ProgressBar(total, node_id=graph_node).update_absolute(value, total)
