"""What a gateway does where the mesh or a client breaks off. The mesh is a double; the connections are real."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from comfymesh.client import AccessDenied, Unavailable
from comfymesh.gateway.mesh import Mesh, current_key
from comfymesh.gateway.server import serving
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.gateway.state import Gateway, Turns, features

CONTENT = b"x" * 1000


class Breaking:
    """A mesh that keeps uploads, and breaks off in the middle of a download."""

    async def offered(self) -> None:
        if current_key() == "bad":
            raise AccessDenied("no such key", reason="KEY_INVALID", code="UNAUTHENTICATED")

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
        settings,
        cast("Mesh", Breaking()),
        cast("Any", None),
        asyncio.Semaphore(1),
        Turns(1),
        Turns(1),
        features(settings),
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


async def connected(address: str, head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    writer.write(head)
    return reader, writer


async def test_of_a_body_without_a_good_key_nothing_is_read() -> None:
    async with gateway() as address:
        head = b"POST /queue HTTP/1.1\r\nHost: localhost\r\nX-API-Key: bad\r\nContent-Length: 9999999\r\n\r\n"
        reader, writer = await connected(address, head)
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_large_bodies_that_never_come_keep_only_their_sender_waiting_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = b"POST /free HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n"
    async with gateway() as address, asyncio.timeout(30):
        slow, writer = await connected(address, head % (b"slow", 100_000))
        for key, size in ((b"slow", 2), (b"other", 70_000)):
            body = b"{}".ljust(size)
            reader, other = await connected(address, head % (key, size) + body)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            other.close()
        writer.close()
        monkeypatch.setattr("comfymesh.gateway.bodies._ARRIVAL_SECONDS", 0.01)
        slow, writer = await connected(address, head % (b"slow", 2))
        assert (await slow.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" + b"{}," * 5_000_000 + b"{}]", 413),
        (b'{"delete": ["' + b"{}," * 5_000_000 + b'"]}', 200),
        (b'{"delete": []}'.decode().encode("utf-16"), 500),
    ],
)
async def test_json_of_very_many_values_is_refused_and_of_long_texts_is_not(body: bytes, status: int) -> None:
    async with gateway() as address, asyncio.timeout(60):
        head = b"POST /free HTTP/1.1\r\nHost: localhost\r\nX-API-Key: good\r\nContent-Length: %d\r\n\r\n"
        reader, writer = await connected(address, head % len(body) + body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d" % status)
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /ws?token=SECRET HTTP/1.1\r\nBad Header\r\n\r\n",
        b"GET /ws?token=SEC RET HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ws?token=SECRET" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Bearer SECRET\x01\r\n\r\n",
    ],
)
async def test_a_request_that_can_not_be_read_is_not_logged_with_its_key(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with gateway() as address, asyncio.timeout(30):
        reader, writer = await connected(address, request_)
        assert b"400 Bad Request" in await reader.readline()
        writer.close()
    assert "a request can't be read: " in caplog.text
    assert "SEC" not in caplog.text


async def test_what_comfyuis_front_end_reads_at_its_start_is_answered_in_form() -> None:
    """With these version 1.58 starts, lists classes, runs a graph and shows its picture."""
    listing = "/userdata?dir=workflows&recurse=true&split=false&full_info=true"
    there: dict[str, object] = {path: {} for path in ("/settings", "/i18n", "/global_subgraphs", "/workflow_templates")}
    there |= {"/users": {"storage": "server", "migrated": True}, "/extensions": [], listing: []}
    async with gateway() as address, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http:
        for path, body in there.items():
            async with http.get(f"{address}/api{path}") as answer:
                assert (answer.status, await answer.json()) == (200, body)
