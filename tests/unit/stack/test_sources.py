"""Where the ComfyUI of the demo comes from."""

from __future__ import annotations

import pytest

from comfymesh.agent.runtimes.specs import INSTANCE_SPECS
from comfymesh.stack import sources
from comfymesh.stack.ownership import MeshNotReadyError


@pytest.mark.parametrize(
    ("environment", "runtime"),
    [
        ({}, "process"),
        ({"RUNTIME": "docker"}, "docker"),
        ({"COMFYUI_URL": "http://127.0.0.1:8188"}, "attach"),
        ({"COMFYUI_DIR": "/opt/ComfyUI"}, "process"),
    ],
)
def test_the_environment_says_what_runs(environment: dict[str, str], runtime: str) -> None:
    spec, _ = sources.instance(environment, "--step-seconds", "0.1")
    (instance,) = INSTANCE_SPECS.validate_python([spec])
    assert instance.runtime == runtime


def test_a_runtime_that_there_is_not_is_refused() -> None:
    with pytest.raises(MeshNotReadyError, match="RUNTIME=podman"):
        sources.require({"RUNTIME": "podman"})
