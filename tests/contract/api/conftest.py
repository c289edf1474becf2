"""One api for each module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comfymesh.testkit.apis import LocalApi, local_api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalApi]:
    async with local_api(tmp_path_factory.mktemp("api")) as up:
        yield up
