"""Starting a program whose timers may be late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from comfymesh.stack.mesh import nats_program

START = (sys.executable, "-m", "comfymesh.runtime.timer_slack")


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What came of it."""
    return subprocess.run((*START, *arguments), capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no slack of timers")
def test_the_program_has_a_millisecond() -> None:
    assert started("cat", "/proc/self/timerslack_ns").stdout == "1000000\n"


def test_it_is_given_its_arguments_and_its_exit_status_is_answered() -> None:
    ended = started("sh", "-c", 'echo "$1"; exit 3', "sh", "a b")
    assert (ended.stdout, ended.returncode) == ("a b\n", 3)


def test_a_program_that_is_not_there_is_named() -> None:
    ended = started("no-such-program")
    assert (ended.stderr, ended.returncode) == ("no-such-program can't be started: No such file or directory\n", 127)


def test_without_a_program_it_says_what_is_missing() -> None:
    ended = started()
    assert (ended.stderr, ended.returncode) == ("name the program to start, and its arguments\n", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no slack of timers")
def test_a_mesh_starts_its_nats_so(tmp_path: Path) -> None:
    *before, server, _, _ = nats_program(tmp_path, "127.0.0.1:4222").command
    assert Path(server).name == "nats-server"
    command = (*before, "cat", "/proc/self/timerslack_ns")
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout == "1000000\n"
