"""HTTP to servers that callers name, against a real server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from comfymesh.egress.addresses import Address
from comfymesh.egress.guard import Egress, EgressRefusedError
from comfymesh.egress.http import OutwardError, OutwardHttp


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/secret"})
        return web.Response(text=await request.text() or "hello", headers={"Set-Cookie": "a=b"})

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(application) as running:
        yield running


def to(*answers: str, allow: tuple[str, ...] = ("127.0.0.0/8",)) -> tuple[Egress, list[str]]:
    asked = list[str]()

    async def resolve(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [ip_address(answer) for answer in answers]

    return Egress(allow, resolve), asked


async def test_a_server_that_is_allowed_is_asked_by_the_address_that_was_checked(server: TestServer) -> None:
    egress, asked = to("127.0.0.1")
    async with (
        OutwardHttp(egress) as http,
        http.request("POST", f"http://callbacks.example:{server.port}/", data=b"body") as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "body")
    assert asked == ["callbacks.example"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "callbacks.example", "2130706433", "0x7f.1", "[::1]"])
async def test_a_server_inside_is_never_asked(server: TestServer, host: str) -> None:
    egress, _ = to("127.0.0.1", allow=())
    async with OutwardHttp(egress) as http:
        with pytest.raises(EgressRefusedError) as refused:
            async with http.request("GET", f"http://{host}:{server.port}/"):
                pass
    assert refused.value.reason == "ADDRESS_REFUSED"


async def test_a_redirect_is_not_followed(server: TestServer) -> None:
    egress, asked = to("127.0.0.1")
    url = f"http://callbacks.example:{server.port}/away"
    async with OutwardHttp(egress) as http, http.request("GET", url) as answer:
        assert answer.status == 302
    assert asked == ["callbacks.example"]


async def test_a_server_that_is_not_there_is_an_error_that_may_pass() -> None:
    egress, _ = to("127.0.0.1")
    async with OutwardHttp(egress) as http:
        with pytest.raises(OutwardError):
            async with http.request("GET", "http://callbacks.example:1/"):
                pass
