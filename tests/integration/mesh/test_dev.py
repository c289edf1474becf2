"""`comfymesh dev` heeds the settings that it can, and says which it does not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from comfymesh.stack.mesh import free_port

# A mesh may take a minute to come up.
pytestmark = pytest.mark.timeout(150)

_WITHOUT_EFFECT = "Without effect here, for this mesh has its own: COMFYMESH_AGENT_NODE, COMFYMESH_API_AUTH.\n"


async def dev(data: Path, **settings: str) -> tuple[int | None, str, str]:
    """How it ends when it is told to once it is up, what it says, and what it complains of."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comfymesh.cli", "dev", "--data", str(data)),
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = b""
    async for line in process.stdout:
        said += line
        if b"Ctrl-C" in line:
            break
    else:
        pytest.fail(f"comfymesh dev ended before it was up: {said!r}")
    process.send_signal(signal.SIGTERM)
    _, complaints = await process.communicate()
    return process.returncode, said.decode(), complaints.decode()


@pytest.mark.asyncio
async def test_settings_of_which_it_has_its_own_are_named_and_the_address_is_heeded(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    code, said, complaints = await dev(
        tmp_path,
        COMFYMESH_API_LISTEN=address,
        COMFYMESH_API_AUTH="keys",
        COMFYMESH_AGENT_NODE="mine",
        COMFYMESH_LOG_LEVEL="warning",
        COMFYMESH_LOG_LEVL="hunter2",
    )
    assert code == 0
    assert f"The API listens on {address}." in said
    assert f"--target {address} run" in said
    assert complaints.startswith("COMFYMESH_LOG_LEVL is no setting of ComfyMesh")
    assert complaints.endswith(f"did you mean COMFYMESH_LOG_LEVEL?\n{_WITHOUT_EFFECT}")
