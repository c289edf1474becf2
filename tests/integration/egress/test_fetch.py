"""Files that callers name by URL, from real servers on loopback that do their worst."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from comfymesh.egress.addresses import Address
from comfymesh.egress.fetch import Fetcher, FetchError, FetchLimits, _next
from comfymesh.egress.guard import Egress
from comfymesh.egress.http import OutwardHttp

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
LIMIT = 10_000
AMPLE, SHORT = 20.0, 0.3
"""Seconds: more than any answer takes, and less than a server takes that never ends."""

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def never_ending(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(bytes(4096))


async def drop_by_drop(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    for _ in range(1000):
        await answer.write(b"x")
        await asyncio.sleep(0.05)
    return answer


async def cut_short(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(PNG)
    assert request.transport is not None
    request.transport.abort()
    return answer


async def byte_by_byte(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for byte in PNG:
        await answer.write(bytes([byte]))
    return answer


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


def status(code: int, **headers: str) -> Answering:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return answer


def body(content: bytes, **headers: str) -> Answering:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=content, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def round_and_round(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": f"/round?{request.query_string}x"})


async def redirect_without_end(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(status=302, headers={"Location": "/picture.png"})
    await answer.prepare(request)
    while True:
        await answer.write(bytes(4096))


ANSWERS: dict[str, Answering] = {
    "/picture.png": body(PNG),
    "/moved": status(302, Location="/picture.png"),
    "/moved-without-end": redirect_without_end,
    "/moved-to-a-friend": status(307, Location="http://friend.example:{port}/picture.png"),
    "/moved-to-a-stranger": status(302, Location="http://stranger.example:{port}/picture.png"),
    "/metadata": status(302, Location="http://169.254.169.254/latest/meta-data/"),
    "/mapped": status(302, Location="http://[::ffff:169.254.169.254]/latest"),
    "/decimal": status(302, Location="http://2852039166/latest"),
    "/file": status(302, Location="file:///etc/passwd"),
    "/password": status(302, Location="http://user:word@friend.example/"),
    "/nowhere": status(302),
    "/round": round_and_round,
    "/gone": status(404),
    "/forbidden": status(403),
    "/nothing": status(204),
    "/part": status(206),
    "/broken": status(503),
    "/too-many": status(429),
    "/empty": body(b""),
    "/announced": body(bytes(LIMIT + 1)),
    "/exact": body(bytes(LIMIT)),
    "/bomb": body(gzip.compress(bytes(50 * LIMIT)), Content_Encoding="gzip"),
    "/endless": never_ending,
    "/drops": drop_by_drop,
    "/cut": cut_short,
    "/bytes": byte_by_byte,
    "/silent": silent,
}


@dataclass
class Names:
    """A name service of our own: it may give another answer each time."""

    answers: dict[str, itertools.cycle[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, _: int) -> list[Address]:
        self.asked.append(host)
        found = self.answers.get(host)
        return [ip_address(next(found))] if found else [ip_address("127.0.0.1")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.StreamResponse:
        found = await ANSWERS[request.path](request)
        if "{port}" in found.headers.get("Location", ""):
            found.headers["Location"] = found.headers["Location"].format(port=request.url.port)
        return found

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    async with TestServer(application, handler_cancellation=True) as server:
        assert server.port is not None
        yield server.port


async def fetched(url: str, *, seconds: float = AMPLE, allow: str = "127.0.0.1", names: Names | None = None) -> bytes:
    egress = Egress([allow] if allow else [], names or Names())
    async with OutwardHttp(egress, total_seconds=None) as http:
        until = asyncio.get_running_loop().time() + seconds
        fetcher = Fetcher(http, FetchLimits(LIMIT, redirects=3))
        with await fetcher.fetch(url, lambda host: "stranger" not in host, until) as content:
            return b"".join([piece async for piece in content.chunks()])


@pytest.mark.parametrize("path", ["/picture.png", "/moved", "/moved-to-a-friend", "/moved-without-end"])
async def test_a_file_is_fetched_and_redirects_are_followed(port: int, path: str) -> None:
    assert await fetched(f"http://files.example:{port}{path}") == PNG


async def test_how_a_file_begins_is_known_however_it_comes(port: int) -> None:
    async with OutwardHttp(Egress(["127.0.0.1"], Names()), total_seconds=None) as http:
        until = asyncio.get_running_loop().time() + AMPLE
        url = f"http://files.example:{port}/bytes"
        with await Fetcher(http, FetchLimits(LIMIT)).fetch(url, lambda _: True, until) as content:
            assert content.head.startswith(PNG[:12])


async def test_a_file_may_be_as_large_as_the_limit(port: int) -> None:
    assert len(await fetched(f"http://files.example:{port}/exact")) == LIMIT


@pytest.mark.parametrize(
    ("path", "problem", "passing"),
    [
        ("/gone", "HTTP_404", False),
        ("/forbidden", "HTTP_403", False),
        ("/nothing", "HTTP_204", False),
        ("/part", "HTTP_206", False),
        ("/broken", "HTTP_503", True),
        ("/too-many", "HTTP_429", True),
        ("/empty", "EMPTY", False),
        ("/announced", "TOO_LARGE", False),
        ("/endless", "TOO_LARGE", False),
        ("/bomb", "ENCODED", False),
        ("/cut", "UNREACHABLE", True),
        ("/metadata", "ADDRESS_REFUSED", False),
        ("/mapped", "ADDRESS_REFUSED", False),
        ("/decimal", "ADDRESS_REFUSED", False),
        ("/file", "REDIRECT_INVALID", False),
        ("/password", "REDIRECT_INVALID", False),
        ("/nowhere", "TOO_MANY_REDIRECTS", False),
        ("/round", "TOO_MANY_REDIRECTS", False),
        ("/moved-to-a-stranger", "HOST_NOT_ALLOWED", False),
    ],
)
async def test_what_a_server_may_not_do(port: int, path: str, problem: str, passing: bool) -> None:  # noqa: FBT001
    with pytest.raises(FetchError) as refused:
        await fetched(f"http://files.example:{port}{path}?signature=secret")
    assert (refused.value.problem, refused.value.passing) == (problem, passing)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", ["/drops", "/silent"])
async def test_a_server_that_takes_its_time_is_left(port: int, path: str) -> None:
    with pytest.raises(FetchError) as refused:
        await fetched(f"http://files.example:{port}{path}", seconds=SHORT)
    assert (refused.value.problem, refused.value.passing) == ("TIMEOUT", True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "0.0.0.0",  # nobody listens there
        "127.1",
        "0x7f000001",
        "0177.0.0.1",
        "2130706433",
        "localhost",
        "inside.example",
        "127.0.0.1.",
    ],
)
async def test_no_spelling_of_an_address_inside_is_asked(port: int, host: str) -> None:
    with pytest.raises(FetchError) as refused:
        await fetched(f"http://{host}:{port}/picture.png", allow="")
    assert refused.value.problem in {"ADDRESS_REFUSED", "URL_INVALID"}
    assert not refused.value.passing


async def test_a_name_that_changes_its_address_is_asked_at_the_one_that_was_checked(port: int) -> None:
    names = Names({"rebinding.example": itertools.cycle(["127.0.0.1", "169.254.169.254"])})
    assert await fetched(f"http://rebinding.example:{port}/picture.png", names=names) == PNG
    assert names.asked == ["rebinding.example"]
    with pytest.raises(FetchError) as refused:  # The second time around it leads inside, and is looked at anew.
        await fetched(f"http://rebinding.example:{port}/moved", names=names)
    assert refused.value.problem == "ADDRESS_REFUSED"


async def test_a_host_that_is_not_there_may_come() -> None:
    with pytest.raises(FetchError) as refused:
        await fetched("http://files.example:1/picture.png")
    assert (refused.value.problem, refused.value.passing) == ("UNREACHABLE", True)


async def test_what_was_to_be_had_safely_is_not_had_otherwise() -> None:
    with pytest.raises(FetchError, match="from https to http"):
        _next("https://files.example/a", "http://files.example/picture.png", "files.example")
    assert _next("http://files.example/a", "https://b.example/", "files.example") == "https://b.example/"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-More: " + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"",
    ],
    ids=["long header", "many headers", "negative length", "endless chunk", "odd status", "TLS", "nothing"],
)
async def test_what_is_no_http_is_an_error_that_may_pass(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FetchError) as refused:
            await fetched(f"http://files.example:{port}/")
    assert (refused.value.problem, refused.value.passing) == ("UNREACHABLE", True)
