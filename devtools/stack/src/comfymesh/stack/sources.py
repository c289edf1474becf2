"""Where the ComfyUI of a local mesh comes from: the environment names a real one, or it is the emulator."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfymesh.stack.mesh import emulated

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


def checkpoint(environment: Mapping[str, str]) -> str:
    """The checkpoint that the examples should load: COMFYUI_CHECKPOINT, or the first that a real ComfyUI has.

    Empty for the emulator, which has the one that the examples name.
    """
    if chosen := environment.get(CHECKPOINT):
        return chosen
    if url := environment.get(URL):
        with urllib.request.urlopen(f"{url}/models/checkpoints", timeout=_TIMEOUT) as answer:  # noqa: S310  # theirs
            return next(iter(json.load(answer)), "")
    if directory := environment.get(DIRECTORY):
        folder = Path(directory) / "models" / "checkpoints"
        return next((path.name for path in sorted(folder.glob("*")) if path.suffix in _SUFFIXES), "")
    return ""
