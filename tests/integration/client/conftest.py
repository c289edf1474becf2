from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from comfymesh.client import AsyncClient, RetryPolicy

from .fake_mesh import FakeMesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
async def mesh() -> AsyncIterator[FakeMesh]:
    mesh = FakeMesh()
    await mesh.start()
    yield mesh
    await mesh.stop()


@pytest.fixture
async def client(mesh: FakeMesh) -> AsyncIterator[AsyncClient]:
    policy = RetryPolicy(connect_timeout=5.0, patience=5.0, first_pause=0.01, longest_pause=0.02)
    async with AsyncClient(mesh.target, retries=policy) as client:
        yield client


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a fake server in a process of its own; a parameter is the list of its artifacts' names."""
    program = Path(__file__).with_name("fake_mesh.py")
    command = [sys.executable, program, *getattr(request, "param", [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()
        process.wait(10)
