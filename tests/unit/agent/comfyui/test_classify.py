"""Exceptions are told apart by their class and, where that says nothing, by their text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from comfymesh.agent.comfyui.classify import classify
from comfymesh.agent.comfyui.events import ExecutionError, ExecutionFailed
from comfymesh.agent.comfyui.protocol import parse_text
from comfymesh.emulator.executor import type_name
from comfymesh.emulator.raising import DEVICE_FAULT as WAYS
from comfymesh.emulator.raising import OUT_OF_MEMORY as SPELLINGS
from comfymesh.tasks.failures import FailureClass

if TYPE_CHECKING:
    from .recorded import Trace

OUT_OF_MEMORY = [
    ("torch.OutOfMemoryError", "Allocation on device "),
    ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 MiB"),
    ("torch.OutOfMemoryError", "anything"),
    ("torch.AcceleratorError", "CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    ("RuntimeError", "CUDA out of memory. Tried to allocate 20.00 GiB (probe)."),
    ("RuntimeError", "CUDA driver error: out of memory"),
    ("RuntimeError", "Allocation on device 0 would exceed allowed memory. (out of memory)"),
    ("RuntimeError", "HIP out of memory. Tried to allocate 2.53 GiB"),
    ("RuntimeError", "hipErrorOutOfMemory"),
    ("RuntimeError", "MPS backend out of memory (MPS allocated: 17.9 GB, max allowed: 18.1 GB)"),
    ("RuntimeError", "Invalid buffer size: 24.00 GB"),
    ("RuntimeError", "XPU out of memory. Tried to allocate 1.2 GiB"),
    ("RuntimeError", "Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    ("RuntimeError", "level_zero backend failed with error: 40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)"),
    ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ("RuntimeError", "[enforce fail at alloc_cpu.cpp:115] . DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ("RuntimeError", "DefaultCPUAllocator: not enough memory: you tried to allocate 4294967296 bytes."),
    ("onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException", "Failed to allocate memory for requested buffer"),
    ("numpy.core._exceptions._ArrayMemoryError", "Unable to allocate 11.9 GiB for an array"),
    ("MemoryError", "probe: host memory"),
    ("OSError", "[Errno 12] Cannot allocate memory"),
    ("RuntimeError", "std::bad_alloc"),
]
DEVICE_FAULT = [
    ("RuntimeError", "CUDA error: an illegal memory access was encountered (probe)"),
    ("torch.AcceleratorError", "CUDA error: an illegal memory access was encountered"),
    ("RuntimeError", "CUDA error: device-side assert triggered"),
    ("RuntimeError", "CUDA error: unspecified launch failure"),
    ("RuntimeError", "CUDA error: the launch timed out and was terminated"),
    ("RuntimeError", "CUDA error: misaligned address"),
    ("RuntimeError", "CUDA error: uncorrectable ECC error encountered"),
    ("RuntimeError", "HIP error: an illegal memory access was encountered"),
    ("RuntimeError", "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    ("RuntimeError", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    ("RuntimeError", "Native API failed. Native API returns: 20 (UR_RESULT_ERROR_DEVICE_LOST)"),
    ("RuntimeError", "No CUDA GPUs are available"),
    ("RuntimeError", "CUDA error: all CUDA-capable devices are busy or unavailable"),
]
MISSING = [
    ("FileNotFoundError", "Model in folder 'checkpoints' with filename 'x.safetensors' not found."),
    ("FileNotFoundError", "[Errno 2] No such file or directory: 'model.safetensors'"),
    ("safetensors_rust.SafetensorError", "Error: No such file or directory (os error 2)"),
    ("ModuleNotFoundError", "No module named 'insightface'"),
    ("ImportError", "No module named 'xformers'"),
    ("RuntimeError", "Could not find the model in the folder"),
    ("huggingface_hub.errors.LocalEntryNotFoundError", "Cannot find the requested files in the disk cache"),
]
PLAIN = [
    ("RuntimeError", "probe: deliberate failure"),
    ("KeyError", "'probe-missing-key'"),
    ("AssertionError", "probe: assertion"),
    ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)"),
    ("ValueError", "the memory of the previous frame is empty"),
    (
        "triton.runtime.errors.OutOfResources",
        "out of resource: shared memory, Required: 131072, Hardware limit: 101376",
    ),
    ("", ""),
]


@pytest.mark.parametrize(
    ("exception_type", "message", "expected"),
    [
        *((*case, FailureClass.OUT_OF_MEMORY) for case in OUT_OF_MEMORY),
        *((*case, FailureClass.DEVICE_FAULT) for case in DEVICE_FAULT),
        *((*case, FailureClass.MISSING_DEPENDENCY) for case in MISSING),
        *((*case, FailureClass.NODE_EXCEPTION) for case in PLAIN),
    ],
)
def test_an_exception_is_classed_by_type_then_text(exception_type: str, message: str, expected: FailureClass) -> None:
    assert classify(ExecutionError("1", "KSampler", exception_type, message)) is expected


RECORDED = {
    ("torch.OutOfMemoryError", "CUDA out"): FailureClass.OUT_OF_MEMORY,
    ("RuntimeError", "CUDA out"): FailureClass.OUT_OF_MEMORY,
    ("MemoryError", "probe: h"): FailureClass.OUT_OF_MEMORY,
    ("RuntimeError", "CUDA err"): FailureClass.DEVICE_FAULT,
}


@pytest.mark.parametrize("number", ["08", "08b", "09"])
def test_recorded_errors_are_classed(traces: dict[str, Trace], number: str) -> None:
    events = [parse_text(json.dumps(m)) for m in traces[number].texts if m["type"] == "execution_error"]
    assert events
    for event in events:
        assert isinstance(event, ExecutionFailed)
        error = event.error
        expected = RECORDED.get((error.exception_type, error.message[:8]), FailureClass.NODE_EXCEPTION)
        assert classify(error) is expected


def test_the_recorded_errors_hold_every_class_but_a_missing_file(traces: dict[str, Trace]) -> None:
    errors = [parse_text(json.dumps(m)) for m in traces["09"].texts if m["type"] == "execution_error"]
    classes = {classify(event.error) for event in errors if isinstance(event, ExecutionFailed)}
    assert classes == {FailureClass.OUT_OF_MEMORY, FailureClass.DEVICE_FAULT, FailureClass.NODE_EXCEPTION}


def test_the_graph_of_an_endless_text_is_no_endless_search() -> None:
    assert classify(ExecutionError("1", "X", "E", "model in folder " * 1_000)) is FailureClass.NODE_EXCEPTION


@pytest.mark.parametrize("spelling", range(len(SPELLINGS)))
def test_every_spelling_of_the_emulator_is_out_of_memory(spelling: int) -> None:
    error = SPELLINGS[spelling]()
    raised = ExecutionError("1", "KSampler", type_name(type(error)), str(error))
    assert classify(raised) is FailureClass.OUT_OF_MEMORY


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_every_way_in_which_the_emulators_device_is_lost_is_a_device_fault(way: int) -> None:
    error = WAYS[way]()
    assert classify(ExecutionError("1", "", type_name(type(error)), str(error))) is FailureClass.DEVICE_FAULT
