"""Which of several servers is asked after one has failed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from comfymesh.client.errors import Unavailable
from comfymesh.client.transport import Transport
from comfymesh.v1 import asset_service_pb2, task_service_pb2

NOBODY = ("127.0.0.1:1", "localhost:1")


async def test_an_upload_that_fails_blames_the_server_that_it_went_to() -> None:
    """Another call has left that one meanwhile; the one that is asked since then has done nothing wrong."""
    transport = Transport(",".join(NOBODY))
    first = transport._replicas.current

    async def pieces() -> AsyncIterator[asset_service_pb2.UploadAssetRequest]:
        with pytest.raises(Unavailable):
            await transport.get_task(task_service_pb2.GetTaskRequest(), 10.0)
        assert transport._replicas.current != first
        yield asset_service_pb2.UploadAssetRequest()

    try:
        with pytest.raises(Unavailable):
            await transport.upload_asset(pieces(), 0.0)
        assert transport._replicas.current != first
    finally:
        await transport.close()
