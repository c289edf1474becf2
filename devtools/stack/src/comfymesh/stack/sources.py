"""Where the ComfyUI of a local mesh comes from: the environment names a real one, or it is the emulator."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from comfymesh.stack.mesh import emulated
from comfymesh.stack.ownership import MeshNotReadyError

URL = "COMFYUI_URL"
DIRECTORY = "COMFYUI_DIR"
PYTHON = "COMFYUI_PYTHON"
ARGUMENTS = "COMFYUI_ARGUMENTS"
CHECKPOINT = "COMFYUI_CHECKPOINT"

_SUFFIXES = frozenset({".safetensors", ".ckpt"})
_TIMEOUT = 10
_EXAMPLE_CHECKPOINT = "checkpoints/sd_xl_base_1.0.safetensors"


def instance(environment: Mapping[str, str], *emulator_arguments: str) -> tuple[dict[str, Any], str]:
    """The instance to use, and a word on it for people.

    Args:
        environment: COMFYUI_URL names a ComfyUI that runs; COMFYUI_DIR a folder of one to be run with COMFYUI_PYTHON
            (default python3) and COMFYUI_ARGUMENTS.
        emulator_arguments: For the emulator, used where neither is set.
    """
    if url := environment.get(URL):
        return {"name": "comfyui-0", "runtime": "attach", "url": url}, f"the ComfyUI at {url}"
    if directory := environment.get(DIRECTORY):
        spec = {
            "name": "comfyui-0",
            "runtime": "process",
            "directory": directory,
            "python": environment.get(PYTHON, "python3"),
            "arguments": environment.get(ARGUMENTS, "").split(),
        }
        return spec, f"a ComfyUI started from {directory}"
    return emulated(
        "--model", _EXAMPLE_CHECKPOINT, *emulator_arguments
    ), "an emulator of ComfyUI: real pictures, no model behind them"


def require(environment: Mapping[str, str]) -> None:
    """Make sure that the ComfyUI that is asked for can be had.

    Raises:
        MeshNotReadyError: it can't; the message says what to do.
    """
    if url := environment.get(URL):
        _ask(url, "/system_stats")
    elif (directory := environment.get(DIRECTORY)) and not (Path(directory) / "main.py").is_file():
        raise MeshNotReadyError(f"{DIRECTORY}={directory} is not a folder of ComfyUI: it has no main.py")


def checkpoint(environment: Mapping[str, str]) -> str:
    """The checkpoint that the examples should load: COMFYUI_CHECKPOINT, or the first that a real ComfyUI has.

    Empty for the emulator, which has the one that the examples name.
    """
    if chosen := environment.get(CHECKPOINT):
        return chosen
    if url := environment.get(URL):
        return str(next(iter(_ask(url, "/models/checkpoints")), ""))
    if directory := environment.get(DIRECTORY):
        folder = Path(directory) / "models" / "checkpoints"
        return next((path.name for path in sorted(folder.glob("*")) if path.suffix in _SUFFIXES), "")
    return ""


def _ask(url: str, route: str) -> Any:  # noqa: ANN401  # whatever JSON it answers
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}{route}", timeout=_TIMEOUT) as answer:  # noqa: S310  # theirs
            return json.load(answer)
    except (OSError, ValueError, HTTPException) as error:
        raise MeshNotReadyError(
            f"no ComfyUI answers at {URL}={url} ({error}); start it, or correct the address, such as "
            "http://127.0.0.1:8188, or leave it out for an emulator"
        ) from error
