"""The test nodes of the conformance suite for a real ComfyUI: they take time, fail or misbehave as told.

Copy this folder into ComfyUI's `custom_nodes`, on a server that nobody else uses: a graph can end its process. The
emulator has the same nodes (`comfymesh.emulator.nodes.probes`).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from pathlib import Path
from typing import Any

import comfy.utils
import numpy as np
import torch
from comfy.model_management import InterruptProcessingException, throw_exception_if_processing_interrupted
from comfy_execution.graph_utils import ExecutionBlocker, GraphBuilder
from PIL import Image
from server import PromptServer

_EXPANDED_STEPS, _EXPANDED_SECONDS = 2, 0.12
_LOOK_SECONDS = 0.02
_TRIED = "CUDA out of memory. Tried to allocate 20.00 GiB (probe)."


def _whole(default: int, least: int, most: int) -> tuple[str, dict[str, Any]]:
    return "INT", {"default": default, "min": least, "max": most}


def _number(default: float, most: float, **more: float) -> tuple[str, dict[str, Any]]:
    return "FLOAT", {"default": default, "min": 0.0, "max": most, **more}


def _flag(*, default: bool) -> tuple[str, dict[str, Any]]:
    return "BOOLEAN", {"default": default}


class _Probe:
    """Takes a picture and answers it, unless it is told otherwise."""

    REQUIRED: dict[str, Any] = {}  # noqa: RUF012  # ComfyUI's way
    OPTIONAL: dict[str, Any] = {}  # noqa: RUF012
    RETURN_TYPES: tuple[str, ...] = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "probe"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        nonce = {"nonce": ("STRING", {"default": ""})}
        return {"required": {"image": ("IMAGE",), **cls.REQUIRED}, "optional": {**cls.OPTIONAL, **nonce}}


class ProbeSleepSteps(_Probe):
    """Reports one step after the other, each of which takes its time."""

    REQUIRED = {  # noqa: RUF012
        "steps": _whole(10, 1, 100000),
        "seconds_per_step": _number(0.1, 600.0, step=0.001),
        "preview": _flag(default=False),
    }
    OPTIONAL = {"fail_at_step": _whole(0, 0, 100000)}  # noqa: RUF012

    def run(self, image: Any, steps: int, seconds_per_step: float, **how: Any) -> Any:
        bar = comfy.utils.ProgressBar(steps)
        for step in range(1, steps + 1):
            time.sleep(seconds_per_step)
            if step == how.get("fail_at_step"):
                raise RuntimeError(f"probe: asked to fail at step {step}")
            bar.update_absolute(step, steps, ("JPEG", _noise(step), 512) if how["preview"] else None)
        return (image,)


def _noise(seed: int) -> Image.Image:
    chance = np.random.default_rng(seed)
    return Image.fromarray(chance.integers(0, 256, (256, 256, 3), dtype=np.uint8))


class ProbeBlock(_Probe):
    """One call that says nothing until it returns."""

    REQUIRED = {"seconds": _number(1.0, 3600.0), "hold_gil": _flag(default=False)}  # noqa: RUF012

    def run(self, image: Any, seconds: float, hold_gil: bool, **_: Any) -> Any:  # noqa: FBT001
        if hold_gil:
            ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
        else:
            time.sleep(seconds)
        return (image,)


class ProbeGate(_Probe):
    """Returns once a file is there."""

    REQUIRED = {"path": ("STRING", {"default": ""})}  # noqa: RUF012

    def run(self, image: Any, path: str, **_: Any) -> Any:
        while not Path(path).exists():
            throw_exception_if_processing_interrupted()
            time.sleep(_LOOK_SECONDS)
        return (image,)


class ProbeRaise(_Probe):
    """Raises, or ends the process."""

    _RAISED = {  # noqa: RUF012
        "runtime": lambda: RuntimeError("probe: deliberate failure"),
        "value": lambda: ValueError("probe: bad value"),
        "assert": lambda: AssertionError("probe: assertion"),
        "keyerror": lambda: KeyError("probe-missing-key"),
        "unicode": lambda: RuntimeError('probe: ünïçödé ☃ 💥 "quotes"\nsecond line'),
        "oom_torch": lambda: torch.OutOfMemoryError(_TRIED),
        "oom_text": lambda: RuntimeError(_TRIED),
        "cuda_text": lambda: RuntimeError("CUDA error: an illegal memory access was encountered (probe)"),
        "memoryerror": lambda: MemoryError("probe: host memory"),
        "interrupt": InterruptProcessingException,
        "system_exit": lambda: SystemExit(1),
        "keyboard_interrupt": KeyboardInterrupt,
        "os_exit": lambda: os._exit(77),
        "abort": os.abort,
    }
    REQUIRED = {"kind": (["none", *_RAISED],), "delay": _number(0.0, 600.0)}  # noqa: RUF012

    def run(self, image: Any, kind: str, delay: float, **_: Any) -> Any:
        time.sleep(delay)
        if kind in self._RAISED:
            made = self._RAISED[kind]()
            raise made
        return (image,)


class ProbeAlloc(_Probe):
    """Takes memory of the host and gives it back."""

    REQUIRED = {"megabytes": _whole(100, 1, 4096), "seconds": _number(0.0, 600.0)}  # noqa: RUF012

    def run(self, image: Any, megabytes: int, seconds: float, **_: Any) -> Any:
        held = bytearray(os.urandom(1024)) * (1024 * megabytes)
        time.sleep(seconds)
        del held
        return (image,)


class ProbeUI(_Probe):
    """Shows something, which JSON may not be able to carry."""

    REQUIRED = {"kind": (["none", "text", "big", "nan", "not_json", "empty"],)}  # noqa: RUF012
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    def run(self, kind: str, nonce: str = "", **_: Any) -> Any:
        shown = {
            "text": {"text": ["probe", nonce]},
            "big": {"text": ["x" * 1_000_000]},
            "nan": {"values": [float("nan")]},
            "not_json": {"values": [object()]},
            "empty": {},
        }
        return {"ui": shown[kind]} if kind in shown else {}


class ProbeBlocker(_Probe):
    """Blocks what comes behind it."""

    REQUIRED = {"block": _flag(default=True), "message": ("STRING", {"default": "probe: blocked"})}  # noqa: RUF012

    def run(self, image: Any, block: bool, message: str, **_: Any) -> Any:  # noqa: FBT001
        return (ExecutionBlocker(message) if block else image,)


class ProbeAsync(_Probe):
    """Waits without blocking, and shows text."""

    REQUIRED = {"steps": _whole(3, 1, 1000), "seconds_per_step": _number(0.15, 60.0)}  # noqa: RUF012

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {**super().INPUT_TYPES(), "hidden": {"unique_id": "UNIQUE_ID"}}

    async def run(self, image: Any, steps: int, seconds_per_step: float, unique_id: str, **_: Any) -> Any:
        bar = comfy.utils.ProgressBar(steps, node_id=unique_id)
        for step in range(1, steps + 1):
            await asyncio.sleep(seconds_per_step)
            PromptServer.instance.send_progress_text(f"step {step}", unique_id)
            bar.update_absolute(step, steps)
        return (image,)


class ProbeNever(_Probe):
    """Is never taken from the cache."""

    @classmethod
    def IS_CHANGED(cls, **_inputs: Any) -> float:  # noqa: N802
        return float("nan")

    def run(self, image: Any, **_: Any) -> Any:
        return (image,)


class ProbeExpand(_Probe):
    """Becomes other nodes while it runs."""

    REQUIRED = {"count": _whole(2, 1, 20)}  # noqa: RUF012

    def run(self, image: Any, count: int, nonce: str = "") -> Any:
        graph, source = GraphBuilder(), image
        settings = {"steps": _EXPANDED_STEPS, "seconds_per_step": _EXPANDED_SECONDS, "preview": False, "nonce": nonce}
        for _ in range(count):
            source = graph.node("ProbeSleepSteps", image=source, **settings).out(0)
        return {"result": (source,), "expand": graph.finalize()}


NODE_CLASS_MAPPINGS = {
    node.__name__: node
    for node in (
        ProbeSleepSteps,
        ProbeBlock,
        ProbeGate,
        ProbeRaise,
        ProbeAlloc,
        ProbeUI,
        ProbeBlocker,
        ProbeAsync,
        ProbeNever,
        ProbeExpand,
    )
}
