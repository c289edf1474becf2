"""Where the ComfyUI of a local mesh comes from: the environment names a real one, or it is the emulator."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from comfymesh.stack.mesh import emulated
from comfymesh.stack.ownership import MeshNotReadyError

RUNTIME = "RUNTIME"
IMAGE = "COMFYMESH_IMAGE"
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
            (default python3) and COMFYUI_ARGUMENTS. RUNTIME=docker runs the emulator in a container, of the image
            COMFYMESH_IMAGE (default comfymesh:dev, which `make images` makes).
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
    if environment.get(RUNTIME) == "docker":
        image = _image(environment)
        command = ("comfymesh-emulator", "--model", _EXAMPLE_CHECKPOINT, *emulator_arguments)
        in_container = {"name": "comfyui-0", "runtime": "docker", "image": image, "pull": False, "command": command}
        return in_container, f"an emulator of ComfyUI in a container of {image}: real pictures, no model behind them"
    return emulated(
        "--model", _EXAMPLE_CHECKPOINT, *emulator_arguments
    ), "an emulator of ComfyUI: real pictures, no model behind them"


def require(environment: Mapping[str, str]) -> None:
    """Make sure that the ComfyUI that is asked for can be had.

    Raises:
        MeshNotReadyError: it can't; the message says what to do.
    """
    if environment.get(RUNTIME, "process") not in {"process", "docker"}:
        raise MeshNotReadyError(f"{RUNTIME}={environment[RUNTIME]} is no runtime of the demo: process or docker")
    if url := environment.get(URL):
        _ask(url, "/system_stats")
    elif environment.get(RUNTIME) == "docker":
        _look_for_image(_image(environment))
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


def _image(environment: Mapping[str, str]) -> str:
    return environment.get(IMAGE, "comfymesh:dev")


def _look_for_image(image: str) -> None:
    try:
        subprocess.run(["docker", "image", "inspect", image], check=True, capture_output=True, timeout=_TIMEOUT)
    except FileNotFoundError as error:
        raise MeshNotReadyError(f"{RUNTIME}=docker needs a Docker Engine, and there is no docker here") from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip() or "no answer"
        raise MeshNotReadyError(
            f"image {image} can't be had ({said}); `make images` makes it, or start the Docker Engine"
        ) from error


def _ask(url: str, route: str) -> Any:  # noqa: ANN401  # whatever JSON it answers
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}{route}", timeout=_TIMEOUT) as answer:  # noqa: S310  # theirs
            return json.load(answer)
    except (OSError, ValueError, HTTPException) as error:
        raise MeshNotReadyError(
            f"no ComfyUI answers at {URL}={url} ({error}); start it, or correct the address, such as "
            "http://127.0.0.1:8188, or leave it out for an emulator"
        ) from error
