"""Says what kind of failure an exception in a graph node is. Pure (ComfyUI protocol notes, section 11).

ComfyUI itself recognises out of memory by class only; many nodes raise it as a plain error with a telling text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from comfymesh.tasks.failures import FailureClass

if TYPE_CHECKING:
    from comfymesh.agent.comfyui.events import ExecutionError

_BY_TYPE = {
    "OutOfMemoryError": FailureClass.OUT_OF_MEMORY,
    "MemoryError": FailureClass.OUT_OF_MEMORY,
    "_ArrayMemoryError": FailureClass.OUT_OF_MEMORY,
    "FileNotFoundError": FailureClass.MISSING_DEPENDENCY,
    "ModuleNotFoundError": FailureClass.MISSING_DEPENDENCY,
    "EntryNotFoundError": FailureClass.MISSING_DEPENDENCY,
    "LocalEntryNotFoundError": FailureClass.MISSING_DEPENDENCY,
}
"""By class name without module."""

_OUT_OF_MEMORY = (
    "allocation on device",
    "bad alloc",
    "bad allocation",
    "can t allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "insufficient memory",
    "invalid buffer size",
    "not enough memory",
    "out of (?:gpu |host |device |video )?memory",
    "out of resources",
    r"\w*outofmemory\w*",
    "status alloc failed",
    "unable to allocate",
)
_DEVICE_FAULT = (
    "context is destroyed",
    "cuda unknown error",
    "device (?:is |was )?lost",
    "device side assert",
    "driver shutting down",
    "failed to initialize nvml",
    "fallen off the bus",
    "found no nvidia driver",
    "gpu hang",
    "hardware stack error",
    "hsa status error",
    "illegal (?:address|instruction|memory access)",
    "invalid device context",
    "invalid program counter",
    "launch (?:failure|timed out)",
    "memory access fault by gpu",
    "misaligned address",
    "no cuda capable device is detected",
    "no cuda gpus are available",
    "cuda capable devices are busy or unavailable",
    "cuda driver initialization failed",
    "status (?:execution failed|internal error|mapping error|not initialized)",
    "unable to determine the device handle",
    "uncorrectable (?:ecc|nvlink)",
)
_MISSING = (
    "(?:checkpoint|file|lora|model|vae) not found",
    "could not find (?:the )?(?:checkpoint|file|lora|model|vae)",
    "model in folder .{1,300} not found",
    "no module named",
    "no such file or directory",
)
_BY_TEXT = tuple(
    (kind, re.compile(rf"\b(?:{'|'.join(texts)})\b"))
    for kind, texts in (
        # In this order: a device that ran out of memory is not broken.
        (FailureClass.OUT_OF_MEMORY, _OUT_OF_MEMORY),
        (FailureClass.DEVICE_FAULT, _DEVICE_FAULT),
        (FailureClass.MISSING_DEPENDENCY, _MISSING),
    )
)
_NO_WORD = re.compile(r"[\W_]+")


def classify(error: ExecutionError) -> FailureClass:
    """Say what kind of failure an exception is.

    Args:
        error: What a graph node raised.

    Returns:
        OUT_OF_MEMORY, DEVICE_FAULT (every later prompt fails too, until the process restarts), MISSING_DEPENDENCY, or
        NODE_EXCEPTION for all others.
    """
    by_type = _BY_TYPE.get(error.exception_type.rpartition(".")[2])
    if by_type is not None:
        return by_type
    # One spelling for "cuda error: out of memory" and "UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY".
    words = _NO_WORD.sub(" ", error.message.lower())
    return next((kind for kind, pattern in _BY_TEXT if pattern.search(words)), FailureClass.NODE_EXCEPTION)
