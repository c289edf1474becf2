"""What is stored of a new task."""

from __future__ import annotations

import random
from unittest.mock import AsyncMock, Mock

import pytest

from comfymesh.api import packing
from comfymesh.api.creation import Creation, NewTask
from comfymesh.artifacts.store import BlobStore
from comfymesh.tasks import rights
from comfymesh.testkit.tasks import queued
from comfymesh.wire.v1 import spec_pb2

LARGE = random.Random(1).randbytes(1_200_000)
ASSET = spec_pb2.AssetBinding(blob=spec_pb2.BlobRef(sha256="ab" * 32))


@pytest.mark.parametrize(("graph", "stored"), [(b"{}", 0), (LARGE, 1)])
async def test_a_graph_that_is_too_large_for_the_record_is_a_blob_that_it_names(graph: bytes, stored: int) -> None:
    store = Mock(spec=BlobStore, put=AsyncMock())
    creation = Creation(Mock(), Mock(), Mock(), Mock(), store, lambda: 0.0, 0.0)
    new = NewTask(queued(), graph, spec_pb2.Spec(assets=[ASSET]))
    record, spec = await creation.seal(new)
    assert store.put.await_count == stored
    if stored:
        assert record.definition.spec.blobs == tuple(sorted(rights.blobs_of(spec)))
        assert spec.graph_blob.size_bytes > len(LARGE) // 2
        assert {spec.graph_blob.sha256, "ab" * 32} == set(record.definition.spec.blobs)
    else:
        assert record == new.record
        assert packing.unpack(spec.graph_zlib) == graph
