"""gRPC reads its environment when it is imported, and tells on standard error what it does not know."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from comfymesh.runtime import grpc_engine

IMPORTING = """
import os, sys
class Witness:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            print(os.environ.get("GRPC_EXPERIMENTS"))
sys.meta_path.insert(0, Witness())
import {module}
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    command = (sys.executable, "-c", code)
    return subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("module", ["comfymesh.api.main", "comfymesh.gateway.main"])
def test_a_process_chooses_before_grpc_is_imported(module: str) -> None:
    assert run(IMPORTING.format(module=module)).stdout.strip() == grpc_engine.EXPERIMENTS


def test_an_operator_may_say_something_else() -> None:
    code = "import os, comfymesh.api; print(os.environ['GRPC_EXPERIMENTS'])"
    assert run(code, GRPC_EXPERIMENTS="").stdout.strip() == ""


@pytest.mark.parametrize(("experiments", "told"), [(grpc_engine.EXPERIMENTS, 0), ("-no_such_engine", 1)])
def test_the_grpc_that_is_installed_knows_what_is_chosen(experiments: str, told: int) -> None:
    code = "import grpc; grpc.insecure_channel('localhost:1').close()"
    assert run(code, GRPC_EXPERIMENTS=experiments).stderr.count("Unknown experiment") == told
