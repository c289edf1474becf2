"""Decides where a URL that a caller named may lead. What is looked up is what is called: there is no second look-up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from comfymesh.egress.addresses import Address, is_outside, literal, networks

LONGEST_URL = 2048
"""Characters that a URL may have."""

_PORTS = {"http": 80, "https": 443}
_LOOK_UP_SECONDS = 5.0

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""Looks up the addresses of a host."""


class EgressRefusedError(Exception):
    """A URL leads nowhere that we call.

    Attributes:
        reason: URL_INVALID, ADDRESS_REFUSED (inside the network), or HOST_UNKNOWN (which may pass).
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names: its scheme, its host in lower case, and its port."""

    scheme: str
    host: str
    port: int


def parse(url: str) -> Target:
    """What a URL names.

    Raises:
        EgressRefusedError: URL_INVALID.
    """
    problem = _problem(url)
    if problem:
        raise EgressRefusedError("URL_INVALID", problem)
    parts = urlsplit(url)
    return Target(parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS[parts.scheme])


def _problem(url: str) -> str:
    """What is wrong with a URL, nothing where it is good. Shows nothing of it: it may hold secrets."""
    if len(url) > LONGEST_URL:
        return f"the URL has {len(url)} characters, at most {LONGEST_URL} are allowed"
    if not url.isascii() or any(character <= " " or character in "\\\x7f" for character in url):
        return "the URL must be of printable ASCII characters without blanks; escape others"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"it is not a URL: {error}"
    if parts.scheme not in _PORTS:
        return "the URL must begin with https:// or http://"
    if not parts.hostname or port == 0:
        return "the URL must name a host, and no port or one from 1 to 65535"
    if parts.username is not None or parts.password is not None:
        return "the URL must not hold a user name or a password"
    return ""


class Egress:
    """Lets URLs through that lead outside.

    Args:
        allow: Networks that may be called although they are not public, such as `10.1.0.0/16`.
        resolve: Looks up hosts; the system where there is none.
    """

    def __init__(self, allow: Iterable[str] = (), resolve: Resolve | None = None) -> None:
        self._allowed = networks(allow)
        self._resolve = resolve or look_up

    def check_literal(self, host: str) -> None:
        """Refuse a host that is an address inside. A name passes: it is judged when it is looked up.

        Raises:
            EgressRefusedError: ADDRESS_REFUSED.
        """
        address = literal(host)
        if address is not None:
            self._require_outside(host, [address])

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Where to call a host. All its addresses must lie outside: one that does not tells of an attempt to slip in.

        Raises:
            EgressRefusedError: HOST_UNKNOWN, ADDRESS_REFUSED.
        """
        address = literal(host)
        found = [address] if address is not None else await self._looked_up(host, port)
        self._require_outside(host, found)
        return found

    async def _looked_up(self, host: str, port: int) -> list[Address]:
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS):
                found = await self._resolve(host, port)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise EgressRefusedError("HOST_UNKNOWN", f"{host} can't be looked up: {error}") from error
        if not found:
            raise EgressRefusedError("HOST_UNKNOWN", f"{host} has no address")
        return found

    def _require_outside(self, host: str, found: Iterable[Address]) -> None:
        if not all(is_outside(address, self._allowed) for address in found):
            # Which address is not told: callers must not be able to map the network with us.
            raise EgressRefusedError(
                "ADDRESS_REFUSED",
                f"{host} is not a public address; the operator can allow networks with COMFYMESH_EGRESS_ALLOW",
            )


async def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a host, as the system knows them."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = (literal(str(info[4][0]).partition("%")[0]) for info in infos)
    return list(dict.fromkeys(address for address in found if address is not None))
