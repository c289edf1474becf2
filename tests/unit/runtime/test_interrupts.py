"""Ctrl-C while a process is imported: it ends at once, without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIGHT = {"comfymesh-health"}
"""Imports next to nothing, and runs for a moment."""

_INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
module = sys.argv.pop(2)
__import__(module, fromlist=["main"]).main()
"""


def entries() -> dict[str, str]:
    """The module of each command that a distribution of ours installs."""
    found = dict[str, str]()
    for path in ROOT.glob("*/*/pyproject.toml"):
        scripts = tomllib.loads(path.read_text())["project"].get("scripts", {})
        found |= {name: place.removesuffix(":main") for name, place in scripts.items() if name not in LIGHT}
    return found


def test_all_commands_are_known() -> None:
    assert {"comfymesh", "comfymesh-api", "comfymesh-agent", "comfymesh-emulator"} <= set(entries())


@pytest.mark.parametrize("module", entries().values())
def test_ctrl_c_during_imports_shows_no_traceback(module: str) -> None:
    imported = module.replace(".entry", ".main")
    command = [sys.executable, "-c", _INTERRUPTED, imported, module]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
