"""What graph nodes raise when a fault asks for it, in the words of the libraries that they come from."""

from __future__ import annotations

from collections.abc import Callable

from comfymesh.emulator.faults import Fault, Faults


class OutOfMemoryError(RuntimeError):
    """Looks to clients like the class by which real servers recognise a GPU out of memory."""

    __module__ = "torch"


class AcceleratorError(RuntimeError):
    """Looks to clients like the class that newer torch raises for errors of the device."""

    __module__ = "torch"


class ArrayMemoryError(MemoryError):
    """Looks to clients like numpy's."""

    __module__ = "numpy._core._exceptions"
    __qualname__ = "_ArrayMemoryError"


_TRIED = "Tried to allocate 20.00 GiB"

OUT_OF_MEMORY: tuple[Callable[[], Exception], ...] = (
    lambda: OutOfMemoryError(f"CUDA out of memory. {_TRIED}. GPU 0 has a total capacity of 23.65 GiB."),
    lambda: OutOfMemoryError("Allocation on device 0 would exceed allowed memory. (out of memory)"),
    lambda: AcceleratorError("CUDA error: out of memory"),
    lambda: RuntimeError(f"CUDA out of memory. {_TRIED} (GPU 0; 23.65 GiB total capacity)"),
    lambda: RuntimeError(f"HIP out of memory. {_TRIED}."),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB, max allowed: 18.13 GB)."),
    lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    lambda: RuntimeError("Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 21474836480 bytes."),
    lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 21474836480 bytes."),
    lambda: RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 21474836480"),
    lambda: RuntimeError("Invalid buffer size: 20.00 GB"),
    lambda: ArrayMemoryError("Unable to allocate 20.0 GiB for an array with shape (5, 1) and data type float32"),
    MemoryError,
    lambda: OSError(12, "Cannot allocate memory"),
)
"""The spellings of out of memory, by number. The first two are known to ComfyUI by their class, the others are not."""


DEVICE_FAULT: tuple[Callable[[], Exception], ...] = (
    lambda: AcceleratorError("CUDA error: an illegal memory access was encountered"),
    lambda: RuntimeError("No CUDA GPUs are available"),
    lambda: AcceleratorError("CUDA error: no CUDA-capable device is detected"),
    lambda: RuntimeError(
        "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env"
    ),
    lambda: RuntimeError("Failed to initialize NVML: Unknown Error"),
    lambda: RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU."),
)
"""How a device is lost to its process. All but the first are seen where a container's GPU is taken from it, as by
`systemctl daemon-reload` on its host; a new container has it again."""


def raise_as_asked(faults: Faults) -> None:
    """Does nothing, unless a fault wants a graph node to fail.

    Raises:
        Exception: As the fault wants it.
    """
    if (way := faults.value(Fault.DEVICE_FAULT)) is not None:
        lost = DEVICE_FAULT[(int(way) - 1) % len(DEVICE_FAULT)]()
        raise lost
    spelling = faults.take(Fault.OUT_OF_MEMORY)
    if spelling is not None:
        error = OUT_OF_MEMORY[int(spelling) % len(OUT_OF_MEMORY)]()
        raise error
