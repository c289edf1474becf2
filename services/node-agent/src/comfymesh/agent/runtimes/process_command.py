"""The command line and the environment of a ComfyUI process."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes.contract import RuntimeFailed, RuntimeFailureReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from comfymesh.agent.runtimes.specs import ProcessSpec

PASSED_ON = frozenset(
    {"HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER"}
)
PASSED_ON_PREFIXES = ("CUDA_", "HIP_", "HSA_", "LC_", "NVIDIA_", "ROCR_")
"""What a ComfyUI process is given of the agent's variables. Custom nodes read them, so secrets must not be there."""

_KINDS = ("input", "output", "temp", "user")
"""What an instance writes into folders of its own."""


@dataclass(frozen=True, slots=True)
class ProcessCommand:
    """A program with its arguments, and the directory to start it in."""

    directory: Path
    words: list[str]


def command_of(spec: ProcessSpec, *, base_directory: Path, port: int) -> ProcessCommand:
    """Return how the instance is started; its folders are made.

    Raises:
        RuntimeFailed: The ComfyUI folder or the program is not there.
    """
    for folder in (base_directory, *(base_directory / kind for kind in _KINDS)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    listen = ["--listen", "127.0.0.1", "--port", str(port)]
    # A second ComfyUI on the same database refuses to start, and a base directory does not move that.
    database = ["--database-url", f"sqlite:///{base_directory / 'user' / 'comfyui.db'}"]
    if spec.directory is None:
        program = [_executable(spec, spec.command[0]), *spec.command[1:]]
        folders = ["--base-directory", str(base_directory)]
        return ProcessCommand(base_directory, [*program, *listen, *folders, *database, *spec.arguments])
    program = [_executable(spec, spec.python), "main.py", "--disable-auto-launch"]
    # Its own folder holds the models and custom nodes, which are shared.
    folders = [word for kind in _KINDS for word in (f"--{kind}-directory", str(base_directory / kind))]
    directory = _comfyui_directory(spec, spec.directory)
    return ProcessCommand(directory, [*program, *listen, *folders, *database, *spec.arguments])


def environment_of(spec: ProcessSpec, agent: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of the process: the few that are passed on, then those of the spec."""
    passed = {name: value for name, value in agent.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)}
    return passed | {"PYTHONUNBUFFERED": "1"} | spec.environment  # unbuffered: the log must end where the process ended


def _comfyui_directory(spec: ProcessSpec, directory: Path) -> Path:
    if not (directory / "main.py").is_file():
        raise RuntimeFailed(
            RuntimeFailureReason.DIRECTORY_INVALID,
            f"cannot start instance {spec.name}: {directory} holds no main.py; "
            f"set `directory` to the folder that ComfyUI was unpacked to",
        )
    return directory.absolute()


def _executable(spec: ProcessSpec, program: str) -> str:
    found = shutil.which(program, path=environment_of(spec).get("PATH"))
    if found is None:
        raise RuntimeFailed(
            RuntimeFailureReason.COMMAND_NOT_FOUND,
            f"cannot start instance {spec.name}: there is no program {program}; give its full path",
        )
    return os.path.abspath(found)  # noqa: PTH100 - Path.resolve would follow the links that make a virtual environment
