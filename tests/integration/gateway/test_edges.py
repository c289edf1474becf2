"""What a gateway does where the mesh or a client breaks off. The mesh is a double; the connections are real."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import aiohttp

from comfymesh.client import Unavailable
from comfymesh.gateway.mesh import Mesh
from comfymesh.gateway.server import serving
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.gateway.state import Gateway, Turns, features

CONTENT = b"x" * 1000


class Breaking:
    """A mesh that keeps uploads, and breaks off in the middle of a download."""

    async def offered(self) -> None:
        return None

    async def upload(self, _content: bytes, _name: object) -> None:
        return None

    async def find(self, _name: object) -> Any:
        digest = hashlib.sha256(CONTENT).hexdigest()
        return SimpleNamespace(filename="a.png", media_type="image/png", size_bytes=len(CONTENT), sha256=digest)

    async def read(self, _what: object, _offset: int, _length: int) -> AsyncIterator[bytes]:
        yield CONTENT[:10]
        raise Unavailable("the api has gone", reason="STREAM_BROKEN")


@asynccontextmanager
async def gateway() -> AsyncIterator[str]:
    settings = GatewaySettings(gateway_listen="127.0.0.1:0", gateway_max_uploads=1)
    parts = Gateway(
        settings, cast("Mesh", Breaking()), cast("Any", None), asyncio.Semaphore(1), Turns(1), features(settings)
    )
    async with serving(parts) as address:
        yield address


async def test_a_download_that_breaks_off_is_followed_by_nothing() -> None:
    """An answer about the error in its place would be taken for the file's bytes."""
    async with gateway() as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(b"GET /view?filename=a.png&type=input HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    assert body == CONTENT[:10]


async def test_uploads_that_never_come_keep_nobody_else_waiting() -> None:
    async with gateway() as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(
            b"POST /upload/image HTTP/1.1\r\nHost: localhost\r\nX-API-Key: slow\r\nExpect: 100-continue\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http:
            data = aiohttp.FormData()
            data.add_field("image", CONTENT, filename="a.png")
            async with http.post(f"{address}/upload/image", data=data, headers={"X-API-Key": "other"}) as answer:
                assert answer.status == 200
        writer.close()
