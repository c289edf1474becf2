"""One mesh of real processes for the tests of all modules that do without one of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from comfymesh.testkit.graphs import Gate
from comfymesh.testkit.meshes import LocalMesh, local_mesh


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    # Servers that inputs by URL are fetched from are on loopback here.
    environment = {"COMFYMESH_EGRESS_ALLOW": "127.0.0.1"}
    async with local_mesh(tmp_path_factory.mktemp("mesh"), environment=environment) as up:
        yield up


@pytest_asyncio.fixture(loop_scope="session")
async def mesh(shared_mesh: LocalMesh) -> AsyncIterator[LocalMesh]:
    """The mesh, whole and idle again after each test."""
    yield shared_mesh
    await shared_mesh.restore()
    await shared_mesh.clear()
    await shared_mesh.until_serving()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that is closed; what is left at it goes on after the test."""
    made = Gate(tmp_path / "gate")
    yield made
    made.open()
