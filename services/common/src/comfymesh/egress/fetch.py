"""Fetches files that callers name by URL: redirects only to where may be called, size and time bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin

from comfymesh.artifacts.content import CHUNK_BYTES, Content, ContentTooLargeError
from comfymesh.egress.guard import EgressRefusedError, parse
from comfymesh.egress.http import OutwardError, OutwardHttp, Response

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
_HEADERS = {"Accept": "image/*, audio/*, video/*, */*;q=0.1"}


class FetchError(Exception):
    """A file could not be had. The message shows no more of the URL than its host: it may hold secrets.

    Attributes:
        problem: What is wrong, for machines: URL_INVALID, ADDRESS_REFUSED, HOST_NOT_ALLOWED, HOST_UNKNOWN,
            TOO_MANY_REDIRECTS, REDIRECT_INVALID, ENCODED, TOO_LARGE, EMPTY, HTTP_{status}, UNREACHABLE, TIMEOUT.
        host: Who was asked last; empty where nobody was.
        passing: Whether it may be there later.
    """

    def __init__(self, problem: str, host: str, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.problem = problem
        self.host = host
        self.passing = passing


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much a server may give and ask of us.

    Attributes:
        max_bytes: Largest file that is taken.
        redirects: So many are followed.
    """

    max_bytes: int
    redirects: int = 5


class Fetcher:
    """Fetches files.

    Args:
        http: Asks servers, and only those outside.
        limits: How much they may give.
    """

    def __init__(self, http: OutwardHttp, limits: FetchLimits) -> None:
        self._http = http
        self._limits = limits

    async def fetch(self, url: str, may: Callable[[str], bool], until: float) -> Content:
        """A file, complete. To be closed by whoever asked for it.

        Args:
            url: Where it is.
            may: Says which hosts may be asked, those of redirects included.
            until: When it must be there, in the time of the event loop.

        Raises:
            FetchError: It can't be had, now or for good.
        """
        host = ""
        try:
            async with asyncio.timeout_at(until):
                for _ in range(1 + self._limits.redirects):
                    host = _host(url, may)
                    async with self._asked(url, host) as answer:
                        if answer.status not in _REDIRECTS:
                            return await self._content(answer, host)
                        url = _next(url, answer.headers.get("Location", ""), host)
        except TimeoutError:
            raise FetchError("TIMEOUT", host, f"{host} did not give the file in time", passing=True) from None
        raise FetchError("TOO_MANY_REDIRECTS", host, f"it was still a redirect after {self._limits.redirects} of them")

    @asynccontextmanager
    async def _asked(self, url: str, host: str) -> AsyncIterator[Response]:
        try:
            async with self._http.request("GET", url, headers=_HEADERS) as answer:
                yield answer
        except EgressRefusedError as error:
            raise FetchError(error.reason, host, str(error), passing=error.reason == "HOST_UNKNOWN") from error
        except OutwardError as error:
            raise FetchError("UNREACHABLE", host, f"{host} can't be read: {error}", passing=True) from error

    async def _content(self, answer: Response, host: str) -> Content:
        _require_file(answer, host)
        limit = self._limits.max_bytes
        if (answer.content_length or 0) > limit:
            raise _too_large(host, limit)
        try:
            content = await Content.collect(answer.content.iter_chunked(CHUNK_BYTES), limit)
        except ContentTooLargeError:
            raise _too_large(host, limit) from None
        if not content.size_bytes:
            content.close()
            raise FetchError("EMPTY", host, f"{host} answered without a single byte")
        return content


def _host(url: str, may: Callable[[str], bool]) -> str:
    try:
        host = parse(url).host
    except EgressRefusedError as error:
        raise FetchError(error.reason, "", str(error)) from error
    if not may(host):
        raise FetchError("HOST_NOT_ALLOWED", host, f"inputs may not be fetched from {host}")
    return host


def _next(url: str, location: str, host: str) -> str:
    """Where a redirect leads. Not from https to http: what was to be had safely stays so."""
    try:
        there = urljoin(url, location)
        safe = parse(there).scheme == "https" or parse(url).scheme == "http"
    except (ValueError, EgressRefusedError) as error:
        raise FetchError("REDIRECT_INVALID", host, f"{host} redirects to what is no URL: {error}") from error
    if not safe:
        raise FetchError("REDIRECT_INVALID", host, f"{host} redirects from https to http")
    return there


def _require_file(answer: Response, host: str) -> None:
    status = answer.status
    if status != HTTPStatus.OK:
        passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING
        raise FetchError(f"HTTP_{status}", host, f"{host} answered {status}", passing=passing)
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        # We asked for none. Unpacking it would let a few bytes become any number.
        raise FetchError(
            "ENCODED", host, f"{host} answered with Content-Encoding {encoding[:32]!r}, which is not taken"
        )


def _too_large(host: str, limit: int) -> FetchError:
    return FetchError("TOO_LARGE", host, f"{host} has a file of more than {limit} bytes, which is the limit")
