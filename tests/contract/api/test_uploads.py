"""What an upload costs while it is under way. What it does: tests/contract/api/test_assets.py."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from obstore.store import LocalStore

from comfymesh import names
from comfymesh.api.assets import Assets
from comfymesh.api.errors import RefusedError
from comfymesh.api.uploads import PART_BYTES, Uploads
from comfymesh.artifacts.object_store import ObjectStore
from comfymesh.testkit.memory_bus import MemoryBus

MIB = 1024 * 1024


async def test_a_part_under_way_is_held_on_disk(tmp_path: Path) -> None:
    async def almost_a_part() -> AsyncIterator[bytes]:
        for _ in range(PART_BYTES // 65536 - 1):
            yield bytes(65536)
        peaks.append(tracemalloc.get_traced_memory()[1])

    bus, quotas, peaks = MemoryBus(), MagicMock(), list[int]()
    store = ObjectStore(LocalStore(tmp_path))
    assets = Assets(bus, store, lambda: 0.0, 10 * MIB, quotas)
    uploads = Uploads(bus, store, assets, lambda: 0.0, quotas)
    sha256 = hashlib.sha256(b"any").hexdigest()
    await uploads.begin("default", "", sha256, 2 * PART_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError, match="go on behind"):
            await uploads.receive("default", names.upload(sha256), 0, almost_a_part())
    finally:
        tracemalloc.stop()
    assert peaks[0] < 2.5 * MIB
