"""Progress: a node that tells how far a workflow is, and `steps`, for nodes of your own that would be silent.

A node that says nothing for long is taken for stuck in the end (docs/failures.md of ComfyMesh).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import ClassVar, TypeVar

from . import host
from .host import ANY, InputTypes

T = TypeVar("T")


def steps(over: Iterable[T], total: int | None = None) -> Iterator[T]:
    """Go through `over`, and tell ComfyUI after each step how far the graph node is that executes.

        for frame in steps(frames):
            ...

    Args:
        over: What there is to do.
        total: How many steps that is; its length where it has one, else nothing is told.
    """
    count = total if total is not None else len(over) if isinstance(over, Sized) else 0
    for number, one in enumerate(over, 1):
        yield one
        if count > 0:
            host.show_progress(None, min(number, count), count)


class Progress:
    """Passes a value on and tells how far the workflow is at this point."""

    CATEGORY: ClassVar[str] = "ComfyMesh"
    FUNCTION: ClassVar[str] = "tell"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("value",)

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:  # noqa: N802  # ComfyUI's name
        """See ComfyUI."""
        return {
            "required": {
                "value": (ANY, {}),
                "step": ("INT", {"default": 1, "min": 0, "max": 1_000_000}),
                "total": ("INT", {"default": 1, "min": 1, "max": 1_000_000}),
                "label": ("STRING", {"default": ""}),
            },
            "hidden": {"graph_node": "UNIQUE_ID"},
        }

    def tell(self, value: object, step: int, total: int, label: str, graph_node: str = "") -> tuple[object]:
        """Pass `value` on."""
        host.show_progress(graph_node or None, min(step, total), total)
        if label:
            host.show_text(graph_node, f"{label} ({min(step, total)}/{total})")
        return (value,)
