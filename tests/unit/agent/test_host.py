"""What a host has left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from comfymesh.agent import host as host_module
from comfymesh.agent.host import Host, Room, read_room
from comfymesh.agent.nvml import Gpu

MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    9000 kB\nHugePages_Total:       0\n"


def test_memory_is_what_the_kernel_says_is_available(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    room = read_room(tmp_path, tmp_path / "meminfo")
    assert (room.memory_bytes, room.memory_available_bytes) == (16_000 * 1024, 9_000 * 1024)


def test_disk_is_that_of_a_directory_that_is_still_to_be_made(tmp_path: Path) -> None:
    room = read_room(tmp_path / "not" / "there" / "yet")
    assert 0 < room.disk_free_bytes <= room.disk_bytes


def test_what_can_not_be_read_is_not_known(tmp_path: Path) -> None:
    assert read_room(tmp_path, tmp_path / "absent").memory_bytes == 0


async def test_a_look_takes_in_everything(tmp_path: Path) -> None:
    gpu = Gpu("GPU-1", "NVIDIA L40S", 48, 1)
    host = Host(lambda: (gpu,), tmp_path)
    assert (host.gpus, host.room) == ((), Room())
    await host.look()
    assert host.gpus == (gpu,)
    assert host.room.disk_bytes > 0


def test_the_only_gpu_is_that_of_every_instance_that_names_none(tmp_path: Path) -> None:
    host = Host(lambda: (), tmp_path)
    assert (host.gpu(None), host.gpu_class(None)) == (None, "")
    host.gpus = (Gpu("GPU-1", "NVIDIA L40S", 48, 1),)
    assert host.gpu_class(None) == host.gpu_class("GPU-1") == "nvidia-l40s"
    host.gpus = (*host.gpus, Gpu("GPU-2", "NVIDIA H100 80GB HBM3", 80, 1))
    assert host.gpu(None) is None
    assert host.gpu_class("GPU-2") == "nvidia-h100-80gb-hbm3"
    assert host.gpu_class("GPU-3") == ""


async def test_whatever_a_drivers_library_raises_the_agent_goes_on(tmp_path: Path) -> None:
    def broken() -> tuple[Gpu, ...]:
        raise ZeroDivisionError("odd")

    host = Host(broken, tmp_path)
    await host.look()
    assert host.gpus == ()
    assert host.room.disk_bytes > 0


async def test_a_gpu_that_does_not_answer_for_a_moment_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance would seem to have its GPU alone, or none, and tasks would be let in that do not fit."""
    now = 100.0
    monkeypatch.setattr(host_module, "time", SimpleNamespace(monotonic=lambda: now))
    first, second = (Gpu(f"GPU-{number}", "NVIDIA L40S", 48, 1) for number in (1, 2))
    answers: list[tuple[Gpu, ...] | None] = [(first, second), (second,), None, ()]

    def answer() -> tuple[Gpu, ...]:
        told = answers.pop(0)
        if told is None:
            raise OSError("the driver stutters")
        return told

    host = Host(answer, tmp_path)
    while answers:
        await host.look()
        assert host.gpus == (first, second)
    answers += [(replace(second, memory_used_bytes=9),)]
    await host.look()
    assert host.gpus == (first, replace(second, memory_used_bytes=9))
    now += 61
    answers += [()]
    await host.look()
    assert host.gpus == ()
