"""A notice: passes anything through and says something on the way.

It calls nobody: a workflow must not be able to reach addresses that its author can't. What it says is shown as
progress, is a line in ComfyUI's output, and an output of the prompt; ComfyMesh's webhooks take it further.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from . import host
from .host import ANY, InputTypes

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LONGEST = 4096


class Notify:
    """Says a message once `value` is there."""

    CATEGORY: ClassVar[str] = "ComfyMesh"
    FUNCTION: ClassVar[str] = "tell"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("value",)
    OUTPUT_NODE: ClassVar[bool] = True

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:  # noqa: N802  # ComfyUI's name
        """See ComfyUI."""
        return {
            "required": {
                "value": (ANY, {}),
                "message": ("STRING", {"default": "done", "multiline": True}),
                "level": (list(_LEVELS), {"default": "info"}),
            },
            "hidden": {"graph_node": "UNIQUE_ID"},
        }

    def tell(self, value: object, message: str, level: str, graph_node: str = "") -> dict[str, Any]:
        """Pass `value` on, and say the message."""
        text = "".join(character for character in message if character.isprintable() or character == "\n")[:_LONGEST]
        host.logger.log(_LEVELS.get(level, logging.INFO), "graph node %s says: %s", graph_node, text.replace("\n", " "))
        host.show_text(graph_node, text)
        return {"ui": {"text": [f"{level}: {text}"]}, "result": (value,)}
