"""The one file that knows NVML, by which the driver of NVIDIA's GPUs says what they are and how they do.

A host without GPUs has no such library, and one whose driver is being updated has none that works: both have no GPUs
here, and are asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU at one moment. None: the driver does not tell.

    Attributes:
        uuid: Given by the driver; names it in settings and containers.
        model: Its model, for instance `NVIDIA L40S`.
        memory_bytes: Its memory.
        memory_used_bytes: What of it is in use, by whomever.
        utilization_percent: Share of the last moment in which it worked.
        temperature_celsius: Its temperature.
        uncorrected_errors: Memory errors that could not be corrected, since the driver was loaded.
    """

    uuid: str
    model: str
    memory_bytes: int
    memory_used_bytes: int
    utilization_percent: int | None = None
    temperature_celsius: int | None = None
    uncorrected_errors: int | None = None


class Nvml:
    """Reads the GPUs of this host. Its methods block, for long when the driver hangs: call them on a thread.

    Args:
        library: `pynvml`, or what stands for it.
    """

    def __init__(self, library: Any = pynvml) -> None:  # noqa: ANN401 - a module without types
        self._library = library
        self._told = ""

    def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU that answers, in the driver's order."""
        try:
            self._library.nvmlInit()
        except self._library.NVMLError as error:
            self._tell(f"no GPU can be looked at: {error}")
            return ()
        try:
            return tuple(self._answering())
        except self._library.NVMLError as error:
            self._tell(f"the GPUs can't be counted: {error}")
            return ()
        finally:
            # So that a driver that was updated, or a GPU that came back, is seen by the next look.
            self._library.nvmlShutdown()

    def _answering(self) -> list[Gpu]:
        found = []
        for index in range(self._library.nvmlDeviceGetCount()):
            try:
                found.append(self._gpu(self._library.nvmlDeviceGetHandleByIndex(index)))
            except self._library.NVMLError as error:
                self._tell(f"GPU {index} does not answer: {error}")
        return found

    def _gpu(self, device: object) -> Gpu:
        nvml = self._library
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
        return Gpu(
            uuid=_text(nvml.nvmlDeviceGetUUID(device)),
            model=_text(nvml.nvmlDeviceGetName(device)),
            memory_bytes=int(memory.total),
            memory_used_bytes=int(memory.used),
            utilization_percent=self._told_by(lambda: int(nvml.nvmlDeviceGetUtilizationRates(device).gpu)),
            temperature_celsius=self._told_by(
                lambda: int(nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU))
            ),
            uncorrected_errors=self._told_by(
                lambda: int(
                    nvml.nvmlDeviceGetTotalEccErrors(
                        device, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
                    )
                )
            ),
        )

    def _told_by(self, ask: Callable[[], T]) -> T | None:
        """What the driver says; None where this GPU has no such thing."""
        try:
            return ask()
        except self._library.NVMLError:
            return None

    def _tell(self, trouble: str) -> None:
        """Log what is wrong, once for as long as it stays the same."""
        if trouble != self._told:
            logger.info("%s", trouble, extra={"action": "gpus_unavailable"})
        self._told = trouble


def _text(value: str | bytes) -> str:
    """Older versions of the library answer bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
