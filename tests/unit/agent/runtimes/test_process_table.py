from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from comfymesh.agent.runtimes import process_record
from comfymesh.agent.runtimes.process_record import ProcessRecord
from comfymesh.agent.runtimes.process_table import ProcessHandle, ProcessIdentity, identify, is_alive, reap


@pytest.fixture
def me() -> ProcessIdentity:
    me = identify(os.getpid())
    assert me is not None
    return me


def test_a_living_process_is_known_again(me: ProcessIdentity) -> None:
    assert identify(os.getpid()) == me
    assert is_alive(me)


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another boot"}])
def test_the_same_number_with_another_start_is_another_process(me: ProcessIdentity, change: dict[str, object]) -> None:
    former = dataclasses.replace(me, **change)  # type: ignore[arg-type]
    assert not is_alive(former)
    with pytest.raises(ProcessLookupError):
        ProcessHandle(former)


def test_a_process_with_an_odd_name_is_told_correctly(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/cat")
    with subprocess.Popen([odd], stdin=subprocess.PIPE) as child:
        process = identify(child.pid)
        assert process is not None
        assert is_alive(process)


def test_a_dead_child_is_not_alive_and_its_exit_code_is_taken_once() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "read line; exit 7"], {}, file_actions=[(os.POSIX_SPAWN_CLOSE, 0)])
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    process = identify(pid)
    assert process is not None
    assert not is_alive(process)
    assert reap(process) == 7
    assert reap(process) is None
    assert identify(pid) is None


def test_a_process_that_is_no_child_is_not_reaped(me: ProcessIdentity) -> None:
    assert reap(me) is None


def test_a_record_comes_back_as_it_was_written(tmp_path: Path, me: ProcessIdentity) -> None:
    record = ProcessRecord(me, 20_001, "digest", exit_code=1)
    process_record.write(tmp_path / "process.json", record)
    assert process_record.read(tmp_path / "process.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["process.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 60_000])
def test_a_record_that_can_not_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "process.json").write_text(text)
    assert process_record.read(tmp_path / "process.json") is None
