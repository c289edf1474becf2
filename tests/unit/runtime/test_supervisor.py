"""What systemd is told, at a socket of a test's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfymesh.runtime import supervisor


@pytest.fixture(params=["path", "abstract"])
def listener(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path if request.param == "path" else f"\0{path}")
        listener.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", path if request.param == "path" else f"@{path}")
        yield listener


def test_it_is_told_that_the_service_is_ready_and_stops(listener: socket.socket) -> None:
    supervisor.ready("takes work")
    supervisor.stopping("drains")
    assert listener.recv(1000) == b"READY=1\nSTATUS=takes work"
    assert listener.recv(1000) == b"STOPPING=1\nSTATUS=drains"


async def test_it_is_told_again_and_again_that_the_loop_turns(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000")
    beating = asyncio.create_task(supervisor.pulse())
    for _ in range(3):
        beat = await asyncio.to_thread(listener.recv, 1000)
        assert beat.splitlines() == [b"WATCHDOG=1", b"EXTEND_TIMEOUT_USEC=30000000"]
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating


@pytest.mark.parametrize(("allowed", "seconds"), [("30000000", 5.0), ("3000000", 1.0), ("", 5.0), ("0", 5.0)])
def test_it_beats_three_times_in_the_time_that_the_watchdog_allows(
    monkeypatch: pytest.MonkeyPatch, allowed: str, seconds: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", allowed)
    assert supervisor._interval() == seconds


def test_without_a_supervisor_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    supervisor.ready("takes work")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    supervisor.ready("takes work")
