"""The emulator as a process: start, stop, sudden end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def emulator(base: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "comfymesh.emulator", "--port", "0", "--base-directory", str(base), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def post(url: str, body: object) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310 (our own server)
    with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310
        return int(answer.status)


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=40) as answer:  # noqa: S310
        return json.load(answer)


def blocking_prompt(seconds: float) -> dict[str, object]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "ProbeBlock", "inputs": {"image": ["1", 0], "seconds": seconds, "hold_gil": False}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_mid_run_without_a_traceback(tmp_path: Path, number: signal.Signals) -> None:
    with emulator(tmp_path) as (process, url):
        assert post(f"{url}/prompt", {"prompt": blocking_prompt(60)}) == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=40)
        assert (process.returncode, errors) == (0, "")


def test_an_exit_in_mid_run_ends_the_process_without_a_word(tmp_path: Path) -> None:
    with emulator(tmp_path, "--fault", "exit_mid_run=0") as (process, url):
        with contextlib.suppress(ConnectionError):  # the process may be gone before its answer is
            post(f"{url}/prompt", {"prompt": blocking_prompt(0)})
        _, errors = process.communicate(timeout=40)
        assert process.returncode == os.EX_SOFTWARE
        assert errors == ""


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "comfymesh.emulator", "--port", port, "--base-directory", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot listen on 127.0.0.1:{port}")
    assert done.stderr.count("\n") == 1


def test_a_held_interpreter_makes_http_wait(tmp_path: Path) -> None:
    with emulator(tmp_path) as (_, url):
        waited = 0.0
        while waited < 0.3:  # the stall may be over before anything is asked
            assert post(f"{url}/emulator/faults", {"http_stall": 0.6}) == 200
            answered = time.monotonic()
            while waited < 0.3 and time.monotonic() - answered < 0.5:  # it begins a moment after its answer
                began = time.monotonic()
                get(f"{url}/system_stats")
                waited = time.monotonic() - began


def test_a_restart_forgets_queue_and_history_and_keeps_the_files(tmp_path: Path) -> None:
    with emulator(tmp_path) as (_, url):
        post(f"{url}/prompt", {"prompt": blocking_prompt(0)})
        (tmp_path / "output" / "kept.txt").touch()
    with emulator(tmp_path) as (_, url):
        assert get(f"{url}/history") == {}
        assert get(f"{url}/queue") == {"queue_running": [], "queue_pending": []}
        assert (tmp_path / "output" / "kept.txt").exists()
        assert list((tmp_path / "temp").iterdir()) == []


def test_memory_grows_with_every_prompt(tmp_path: Path) -> None:
    with emulator(tmp_path, "--fault", "memory_growth=64") as (process, url):
        before = resident(process.pid)
        assert post(f"{url}/prompt", {"prompt": blocking_prompt(0)}) == 200
        deadline = time.monotonic() + 40
        while resident(process.pid) < before + 50 * 2**20:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_crash_at_the_start_leaves_a_process_that_has_failed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "comfymesh.emulator", "--port", "0", "--base-directory", str(tmp_path)]
    ended = subprocess.run([*command, "--fault", "crash_at_start=0.1"], capture_output=True, check=False, timeout=40)
    assert (ended.returncode, ended.stdout) == (1, b"")


def resident(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 (no file of ours)
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
