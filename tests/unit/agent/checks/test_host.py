"""Checks of disk and GPUs."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from comfymesh.agent.checks.findings import Outcome
from comfymesh.agent.checks.host import check_disk, check_gpus
from comfymesh.agent.runtimes.specs import DockerSpec

GPU = "GPU-8f6e1c52-0000-0000-0000-000000000000"
GIB = 1024**3


def pinned(gpu: str | None = GPU) -> DockerSpec:
    return DockerSpec(name="gpu0", image="comfyui:1", gpu_uuid=gpu)


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """What NVIDIA's driver tells of one GPU."""
    folder = tmp_path / "0000:01:00.0"
    folder.mkdir()
    (folder / "information").write_text(f"Model: \t\t NVIDIA H100\nIRQ:   \t\t 21\nGPU UUID: \t {GPU}\n")
    return tmp_path


def test_a_gpu_that_an_instance_is_pinned_to_is_there(driver: Path) -> None:
    (finding,) = check_gpus([pinned()], driver)
    assert (finding.outcome, finding.found) == (Outcome.OK, GPU)


def test_a_gpu_that_is_not_there_is_named_with_those_that_are(driver: Path) -> None:
    (finding,) = check_gpus([pinned("GPU-1")], driver)
    assert finding.outcome is Outcome.FAILED
    assert finding.found == f"instance gpu0 is pinned to GPU-1, there are: {GPU}"


def test_a_host_without_gpus_is_fine_where_none_is_asked_for(tmp_path: Path) -> None:
    (finding,) = check_gpus([pinned(None)], tmp_path)
    assert (finding.outcome, finding.found) == (Outcome.OK, "none")


@pytest.mark.parametrize(("free", "outcome"), [(0.5, Outcome.FAILED), (5, Outcome.WARNING), (50, Outcome.OK)])
def test_a_disk_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, outcome: Outcome) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * GIB))
    finding = check_disk(tmp_path / "new")
    assert finding.outcome is outcome
    assert finding.found == f"{free:.1f} GiB are free"
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_can_not_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = check_disk(tmp_path / "file" / "state")
    assert (finding.outcome, finding.found) == (Outcome.FAILED, "Not a directory")
