"""One mesh of real processes for each module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comfymesh.testkit.meshes import LocalMesh, local_mesh


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    # Servers that inputs by URL are fetched from are on loopback here.
    environment = {"COMFYMESH_EGRESS_ALLOW": "127.0.0.1"}
    async with local_mesh(tmp_path_factory.mktemp("mesh"), environment=environment) as up:
        yield up
