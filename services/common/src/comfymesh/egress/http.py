"""HTTP to servers that callers name. Only addresses that the guard lets through are ever connected to.

No redirects, no cookies, no proxy, no compression: each of them would be a way around what was checked.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from comfymesh.egress.guard import Egress, EgressRefusedError, parse

Response = aiohttp.ClientResponse
"""An answer, its body still to be read."""

_PER_HOST = 8
_IN_ALL = 64


class OutwardError(Exception):
    """A server could not be asked, or did not answer in time. Trying again may help."""


class _GuardedResolver(AbstractResolver):
    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  # the library's
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=str(address), port=port, family=_family(address.version), proto=0, flags=0
            )
            for address in await self._egress.addresses(host, port)
        ]

    async def close(self) -> None:
        pass


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


class OutwardHttp:
    """Asks servers outside.

    Args:
        egress: Says which may be asked.
        connect_seconds: How long a connection may take.
        total_seconds: How long a request may take, its answer included; None for no limit but the one below.
        silence_seconds: How long a server may send nothing.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        connect_seconds: float = 10.0,
        total_seconds: float | None = 30.0,
        silence_seconds: float = 30.0,
    ) -> None:
        self._egress = egress
        self._timeout = aiohttp.ClientTimeout(
            total=total_seconds, sock_connect=connect_seconds, sock_read=silence_seconds
        )
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_GuardedResolver(self._egress), use_dns_cache=False, limit=_IN_ALL, limit_per_host=_PER_HOST
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "ComfyMesh"},
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask; the answer's body is read by whoever asked, with a limit of theirs. A redirect is an answer like any.

        Raises:
            EgressRefusedError: the URL is none, or leads inside.
            OutwardError: there was no answer, or it broke off.
        """
        assert self._session is not None
        self._check_host(url)
        asked: dict[str, Any] = {"data": data, "headers": headers, "allow_redirects": False}
        try:
            async with self._session.request(method, url, **asked) as answer:
                yield answer
        except EgressRefusedError:
            raise
        except TimeoutError:
            raise OutwardError("the server did not answer in time") from None
        except aiohttp.InvalidURL as error:
            raise EgressRefusedError("URL_INVALID", "the URL names no host that can be called") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error.__cause__, EgressRefusedError):
                raise error.__cause__ from None
            raise OutwardError(f"the server can't be asked: {type(error).__name__}: {error}"[:512]) from error

    def _check_host(self, url: str) -> None:
        """Refuse an address inside: aiohttp connects to one without asking the resolver. Read as it reads it, too."""
        self._egress.check_literal(parse(url).host)
        try:
            self._egress.check_literal(URL(url).raw_host or "")
        except ValueError:
            raise EgressRefusedError("URL_INVALID", "the URL names no host that can be called") from None
