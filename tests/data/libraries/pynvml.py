"""Stands for NVIDIA's library on a host without GPUs: one GPU that has some work. Put its folder on PYTHONPATH."""

from __future__ import annotations

from types import SimpleNamespace

NVML_TEMPERATURE_GPU = NVML_MEMORY_ERROR_TYPE_UNCORRECTED = NVML_VOLATILE_ECC = 0
_GIB = 1024**3


class NVMLError(Exception):
    """Never raised."""


def nvmlInit() -> None:  # noqa: N802  # NVIDIA's names
    pass


def nvmlShutdown() -> None:  # noqa: N802
    pass


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    return index


def nvmlDeviceGetMemoryInfo(_: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(total=48 * _GIB, used=12 * _GIB)


def nvmlDeviceGetUUID(index: int) -> str:  # noqa: N802
    return f"GPU-{index}"


def nvmlDeviceGetName(_: int) -> str:  # noqa: N802
    return "NVIDIA L40S"


def nvmlDeviceGetUtilizationRates(_: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(gpu=50)


def nvmlDeviceGetTemperature(_: int, __: int) -> int:  # noqa: N802
    return 60


def nvmlDeviceGetTotalEccErrors(_: int, __: int, ___: int) -> int:  # noqa: N802
    return 0
