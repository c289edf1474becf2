from __future__ import annotations

import pytest

from comfymesh.agent.runtimes.contract import RuntimeFailureReason
from comfymesh.agent.runtimes.docker_refusals import reason_of

# As Docker Engine 20.10.24 worded them, the GPU's second and the disk's excepted (nvidia-container-toolkit, kernel).
REFUSALS = {
    "driver failed programming external connectivity on endpoint a (0a): Error starting userland proxy: "
    "listen tcp4 127.0.0.1:8188: bind: address already in use": RuntimeFailureReason.PORT_TAKEN,
    "driver failed programming external connectivity on endpoint a (0a): Bind for 127.0.0.1:8188 failed: "
    "port is already allocated": RuntimeFailureReason.PORT_TAKEN,
    'could not select device driver "" with capabilities: [[gpu]]': RuntimeFailureReason.GPU_UNAVAILABLE,
    "nvidia-container-cli: device error: GPU-1: unknown device: unknown": RuntimeFailureReason.GPU_UNAVAILABLE,
    "mkdir /var/lib/docker/overlay2/0a: no space left on device": RuntimeFailureReason.DISK_FULL,
    "No such image: comfyui:1": RuntimeFailureReason.IMAGE_MISSING,
    'invalid mount config for type "bind": bind source path does not exist: /m': RuntimeFailureReason.MODELS_MISSING,
    'exec: "python": executable file not found in $PATH: unknown': RuntimeFailureReason.COMMAND_NOT_FOUND,
    'Conflict. The container name "/a" is already in use by container "0a".': RuntimeFailureReason.NAME_TAKEN,
    "something that no engine has said yet": RuntimeFailureReason.ENGINE_REFUSED,
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_has_a_reason_for_machines(refusal: str) -> None:
    assert reason_of(refusal) is REFUSALS[refusal]
