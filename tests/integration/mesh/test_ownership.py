"""Two meshes on one machine keep out of each other's way."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from comfymesh.stack import sources
from comfymesh.stack.mesh import free_port, unless_refused
from comfymesh.stack.ownership import MeshNotReadyError, require_free, sole_user
from comfymesh.stack.processes import Processes, Program
from comfymesh.testkit.waiting import until


def test_a_folder_is_used_by_one_mesh_at_a_time(tmp_path: Path) -> None:
    with sole_user(tmp_path / "data"):
        with pytest.raises(MeshNotReadyError, match=r"runs in .*--data"), sole_user(tmp_path / "data"):
            pytest.fail("it was let in")
        with sole_user(tmp_path / "other"):
            pass
    with sole_user(tmp_path / "data"):
        pass


def test_an_address_that_somebody_listens_at_is_refused() -> None:
    port = free_port()
    taken = f"127.0.0.1:{port}"
    refusal = pytest.raises(MeshNotReadyError, match=r"can't listen on .*--listen")
    with socket.create_server(("127.0.0.1", port)), refusal:
        require_free(taken)
    require_free(taken)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "[::1]:7700x", ":7700"])
def test_an_address_that_is_none_is_told_how_one_is_written(address: str) -> None:
    with pytest.raises(MeshNotReadyError, match=r"can't listen on .*HOST:PORT"):
        require_free(address)


def test_an_address_of_no_machine_is_refused() -> None:
    with pytest.raises(MeshNotReadyError, match="can't listen on"):
        require_free("256.0.0.1:80")


def test_what_has_inherited_the_lock_holds_it(tmp_path: Path) -> None:
    with sole_user(tmp_path) as lock:
        heir = subprocess.Popen(["sleep", "600"], pass_fds=[lock])
    try:
        with pytest.raises(MeshNotReadyError), sole_user(tmp_path):
            pytest.fail("it was let in")
    finally:
        heir.kill()
        heir.wait()
    with sole_user(tmp_path):
        pass


_STACK = """
import asyncio, pathlib, sys
from comfymesh.stack.processes import Processes, Program

async def main():
    program = Program("one", ("sh", "-c", "echo; exec sleep 600"))
    async with Processes([program], pathlib.Path(sys.argv[1])) as processes:
        while not processes.log("one").read_text():  # before that, the system does not know what belongs together
            await asyncio.sleep(0.01)
        print(processes.pid("one"), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_what_runs_a_mesh_takes_it_along_when_it_is_killed(tmp_path: Path) -> None:
    pid = of_a_killed_stack(tmp_path)
    await until(lambda: is_gone(pid), f"the end of process {pid}")


def of_a_killed_stack(logs: Path) -> int:
    """The process that a stack has started before it was killed."""
    command = [sys.executable, "-c", _STACK, str(logs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stack:
        assert stack.stdout is not None
        pid = int(stack.stdout.readline())
        stack.kill()
    return pid


def is_gone(pid: int) -> bool:
    """Whether a process runs no more, though nobody may have asked yet how it ended."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.asyncio
async def test_of_what_ends_is_told_where_it_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Processes([Program("one", ("sh", "-c", "exit 77"))], tmp_path) as processes:
        await until(lambda: caplog.messages, "a word of its end")
    assert caplog.messages[0] == f"one ended with 77, it is started again; {processes.log('one')} says why"


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ('echo "one: the settings are wrong:"; echo "  A: no"', "one: the settings are wrong:\n  A: no"),
        ("""echo '{"message": "it starts"}'; echo '{"message": "no such file"}'""", "no such file"),
        ("true", ""),
    ],
)
@pytest.mark.asyncio
async def test_who_refuses_its_settings_is_not_started_again_and_what_it_said_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, says: str, told: str
) -> None:
    (tmp_path / "one.log").write_text("the life before\n")
    async with Processes([Program("one", ("sh", "-c", f"{says}; exit 78"))], tmp_path) as processes:
        with pytest.raises(MeshNotReadyError) as refused:
            await unless_refused(processes, asyncio.sleep(60))
    assert str(refused.value) == f"one can't run with its settings: {told}"
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"COMFYUI_URL": "http://127.0.0.1:9"}, "no ComfyUI answers at COMFYUI_URL=http://127.0.0.1:9"),
        ({"COMFYUI_URL": "127.0.0.1:8188"}, "correct the address, such as http://"),
        ({"COMFYUI_DIR": "/nonexistent"}, "it has no main.py"),
    ],
)
def test_a_comfyui_that_is_not_there_is_told_before_anything_is_started(environment: dict[str, str], says: str) -> None:
    with pytest.raises(MeshNotReadyError, match=re.escape(says)):
        sources.require(environment)
