"""Checks of the host itself: disk and GPUs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from comfymesh.agent.checks.findings import Finding, failed, ok, warning
from comfymesh.agent.runtimes.specs import DockerSpec, InstanceSpec

_GIB = 1024**3
_LEAST_BYTES = 1 * _GIB
_WANTED_BYTES = 10 * _GIB
"""Outputs are spooled to disk before they are stored, images are tens of GiB, and a full disk loses outputs."""

NVIDIA = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver tells of its GPUs, a folder each."""


def check_disk(directory: Path) -> Finding:
    """Whether the agent can write where it keeps its state, and how much fits there."""
    tried = f"write to {directory}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".check-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return failed("disk", tried, _said(error), f"make {directory} a folder that the agent's user may write to")
    return _judge_space(tried, free)


def check_gpus(instances: Iterable[InstanceSpec], root: Path = NVIDIA) -> list[Finding]:
    """Whether the GPUs that instances are pinned to are there."""
    there = _gpus(root)
    wanted = {spec.gpu_uuid: spec.name for spec in instances if isinstance(spec, DockerSpec) and spec.gpu_uuid}
    tried = f"look for GPUs in {root}"
    missing = {gpu: name for gpu, name in wanted.items() if gpu.startswith("GPU-") and gpu not in there}
    found = ", ".join(sorted(there)) or "none"
    if not missing:
        return [ok("gpu", tried, found)]
    return [
        failed("gpu", tried, f"instance {name} is pinned to {gpu}, there are: {found}", _MEND_GPU)
        for gpu, name in missing.items()
    ]


_MEND_GPU = "install NVIDIA's driver, or correct gpu_uuid in COMFYMESH_AGENT_INSTANCES (`nvidia-smi -L` lists them)"


def _gpus(root: Path) -> set[str]:
    told = [path.read_text(errors="replace") for path in root.glob("*/information")]
    lines = [line.partition(":") for text in told for line in text.splitlines()]
    return {value.strip() for name, _, value in lines if name.strip() == "GPU UUID"}


def _judge_space(tried: str, free: int) -> Finding:
    found = f"{free / _GIB:.1f} GiB are free"
    mend = "free some space, or set COMFYMESH_AGENT_STATE_DIRECTORY to a larger disk"
    if free < _LEAST_BYTES:
        return failed("disk", tried, found, mend)
    return warning("disk", tried, found, mend) if free < _WANTED_BYTES else ok("disk", tried, found)


def _said(error: OSError) -> str:
    return error.strerror or str(error)
