from __future__ import annotations

import sys
from pathlib import Path

from comfymesh.agent.runtimes.process_command import command_of, environment_of
from comfymesh.agent.runtimes.specs import ProcessSpec

PROGRAM = ProcessSpec(name="one", command=(sys.executable, "-m", "comfymesh.emulator"), arguments=("--resident", "1"))


def test_a_program_gets_address_and_base_directory_and_then_its_arguments(tmp_path: Path) -> None:
    command = command_of(PROGRAM, base_directory=tmp_path / "data", port=20_001)
    assert command.directory == tmp_path / "data"
    assert command.words == [
        *(sys.executable, "-m", "comfymesh.emulator"),
        *("--listen", "127.0.0.1", "--port", "20001", "--base-directory", str(tmp_path / "data")),
        *("--database-url", f"sqlite:///{tmp_path}/data/user/comfyui.db"),
        *("--resident", "1"),
    ]


def test_comfyui_runs_in_its_folder_with_its_own_database(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    spec = ProcessSpec(name="one", directory=tmp_path, python=sys.executable)
    command = command_of(spec, base_directory=tmp_path / "data", port=20_001)
    assert command.directory == tmp_path
    assert command.words[:3] == [sys.executable, "main.py", "--disable-auto-launch"]
    assert command.words[-2:] == ["--database-url", f"sqlite:///{tmp_path}/data/user/comfyui.db"]
    assert (tmp_path / "data" / "user").is_dir()


def test_only_known_variables_are_passed_on_and_those_of_the_spec_win() -> None:
    agent = {"PATH": "/bin", "COMFYMESH_NATS_URL": "nats://secret@host", "AWS_SECRET_ACCESS_KEY": "x", "LC_ALL": "C"}
    spec = ProcessSpec(name="one", command=("comfyui",), environment={"PATH": "/opt/bin", "HF_HOME": "/cache"})
    assert environment_of(spec, agent) == {
        "PATH": "/opt/bin",
        "LC_ALL": "C",
        "HF_HOME": "/cache",
        "PYTHONUNBUFFERED": "1",
    }
