"""What the driver tells of GPUs, whatever of it is missing."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from comfymesh.agent.nvml import Gpu, Nvml

GIBIBYTE = 2**30


class FakeNvml:
    """Stands for `pynvml`: its errors and constants, and GPUs that a test makes up."""

    NVMLError = pynvml.NVMLError
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    NVML_VOLATILE_ECC = pynvml.NVML_VOLATILE_ECC

    def __init__(self, *gpus: SimpleNamespace) -> None:
        self.devices = list(gpus)
        self.broken: int | None = None
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802 - the library's names
        if self.broken is not None:
            raise pynvml.NVMLError(self.broken)
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> SimpleNamespace:  # noqa: N802
        device = self.devices[index]
        if device.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return device

    def nvmlDeviceGetUUID(self, device: SimpleNamespace) -> str:  # noqa: N802
        return str(device.uuid)

    def nvmlDeviceGetName(self, device: SimpleNamespace) -> str | bytes:  # noqa: N802
        name: str | bytes = device.model
        return name

    def nvmlDeviceGetMemoryInfo(self, device: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=48 * GIBIBYTE, used=device.used)

    def nvmlDeviceGetUtilizationRates(self, device: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=_supported(device.utilization))

    def nvmlDeviceGetTemperature(self, device: SimpleNamespace, sensor: int) -> int:  # noqa: N802
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return _supported(device.temperature)

    def nvmlDeviceGetTotalEccErrors(self, device: SimpleNamespace, kind: int, counter: int) -> int:  # noqa: N802
        assert (kind, counter) == (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        return _supported(device.errors)


def _supported(value: int | None) -> int:
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value


def device(uuid: str, **given: object) -> SimpleNamespace:
    facts = {"model": "NVIDIA L40S", "used": GIBIBYTE, "utilization": 37, "temperature": 65, "errors": 0, "lost": False}
    return SimpleNamespace(uuid=uuid, **(facts | given))


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml(device("GPU-1"), device("GPU-2", utilization=None, temperature=None, errors=None))


def test_every_gpu_is_told_with_what_the_driver_knows(nvml: FakeNvml) -> None:
    assert Nvml(nvml).gpus() == (
        Gpu("GPU-1", "NVIDIA L40S", 48 * GIBIBYTE, GIBIBYTE, 37, 65, 0),
        Gpu("GPU-2", "NVIDIA L40S", 48 * GIBIBYTE, GIBIBYTE),
    )
    assert nvml.open == 0


def test_older_libraries_answer_bytes(nvml: FakeNvml) -> None:
    nvml.devices = [device("GPU-1", model=b"NVIDIA A100")]
    assert Nvml(nvml).gpus()[0].model == "NVIDIA A100"


@pytest.mark.parametrize(
    "error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_UNKNOWN]
)
def test_a_host_without_a_driver_has_no_gpus_and_may_get_them_later(nvml: FakeNvml, error: int) -> None:
    reader = Nvml(nvml)
    nvml.broken = error
    assert reader.gpus() == ()
    nvml.broken = None
    assert len(reader.gpus()) == 2


def test_a_gpu_that_has_fallen_off_the_bus_is_missing_and_the_others_are_not(nvml: FakeNvml) -> None:
    nvml.devices[0].lost = True
    assert [gpu.uuid for gpu in Nvml(nvml).gpus()] == ["GPU-2"]
    assert nvml.open == 0


def test_the_fake_has_what_the_library_has() -> None:
    used = {name for name in vars(FakeNvml) if name.startswith(("nvml", "NVML"))}
    assert {name for name in used if not hasattr(pynvml, name)} == set()


def test_the_real_library_can_be_asked_on_any_host() -> None:
    assert isinstance(Nvml().gpus(), tuple)
