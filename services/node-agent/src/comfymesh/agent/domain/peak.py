"""The most GPU memory that an instance held while a prompt ran. Pure.

ComfyUI says in `/system_stats` what PyTorch has reserved for its process (`torch_vram_total` of the first device, see
`get_total_memory` and `get_free_memory` in ComfyUI's model_management.py). It is asked every few seconds anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_GPUS = ("cuda", "xpu")
"""Devices whose figures are of their own memory, and of this process alone."""


class Peak:
    """The most that was seen since it began, in bytes; 0 where nothing was."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Peaks:
    """The peak of whichever prompt is running. What is seen before the next one begins counts for the last one."""

    def __init__(self) -> None:
        self._running = Peak()

    def begin(self) -> Peak:
        """A prompt begins to run."""
        self._running = Peak()
        return self._running

    def see(self, stats: Mapping[str, Any]) -> None:
        """The instance has said how it is. Its answer is untrusted: what is not of that shape says nothing."""
        self._running.bytes = max(self._running.bytes, reserved(stats))


def reserved(stats: Mapping[str, Any]) -> int:
    """What PyTorch has reserved on the GPU; 0 without one, or where ComfyUI does not say."""
    devices = stats.get("devices")
    first = devices[0] if isinstance(devices, list) and devices else None
    if not isinstance(first, dict) or first.get("type") not in _GPUS:
        return 0
    held = first.get("torch_vram_total")
    return held if isinstance(held, int) and not isinstance(held, bool) and 0 <= held < 2**62 else 0
