"""A guard of GPU memory: passes anything through, and warns or stops where too little is free."""

from __future__ import annotations

from typing import Any, ClassVar

from . import host
from .host import ANY, InputTypes

_MB = 1024 * 1024
STOP, WARN = "stop", "warn"


class GpuMemoryLowError(RuntimeError):
    """Too little memory is free.

    Its text says so in words that ComfyMesh takes for OUT_OF_MEMORY: it frees memory and tries again, then elsewhere.
    """


class MemoryGuard:
    """Passes a value on if enough memory is free at that moment. Runs each time, and what depends on it as well."""

    CATEGORY: ClassVar[str] = "ComfyMesh"
    FUNCTION: ClassVar[str] = "check"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("value",)

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:  # noqa: N802  # ComfyUI's name
        """See ComfyUI."""
        return {
            "required": {
                "value": (ANY, {}),
                "min_free_mb": ("INT", {"default": 2048, "min": 0, "max": 1_048_576, "tooltip": "MiB, of 2^20 bytes"}),
                "when_low": ([STOP, WARN], {"default": STOP}),
                "make_room": ("BOOLEAN", {"default": True, "tooltip": "first put models out of memory"}),
            },
            "hidden": {"graph_node": "UNIQUE_ID"},
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:  # noqa: ANN401, N802  # ComfyUI's name
        """Never the same: how much is free now is no matter of inputs."""
        return float("nan")

    @classmethod
    def VALIDATE_INPUTS(cls, min_free_mb: int = 0) -> bool | str:  # noqa: N802  # ComfyUI's name
        """See ComfyUI."""
        return True if min_free_mb >= 0 else "min_free_mb must not be negative"

    def check(
        self, value: object, min_free_mb: int, when_low: str, *, make_room: bool = True, graph_node: str = ""
    ) -> tuple[object]:
        """Pass `value` on.

        Raises:
            GpuMemoryLowError: Too little is free, and that is to stop the prompt.
        """
        free = host.free_memory()
        if free < min_free_mb * _MB and make_room:
            host.make_room()
            free = host.free_memory()
        if free < min_free_mb * _MB:
            low = f"not enough memory: {free // _MB} MiB are free on the GPU, {min_free_mb} MiB are wanted"
            if when_low == STOP:
                raise GpuMemoryLowError(f"{low}; free some, use a larger GPU, or set min_free_mb lower")
            host.logger.warning("graph node %s: %s", graph_node, low)
            host.show_text(graph_node, low)
        return (value,)
