"""Where a server is, and what every request to it says of that. Pure."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A server.

    Attributes:
        host: Name or address, without brackets.
        port: Its port.
        tls: Whether it is talked to by TLS.
        prefix: Path in front of all routes, without a slash at its end.
        headers: What every request carries.
    """

    host: str
    port: int
    tls: bool
    prefix: str
    headers: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL. A name and password in it are sent as basic authentication.

        Raises:
            ValueError: It is none of HTTP.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("no URL of an HTTP server")
        headers = [f"Host: {parts.netloc.rpartition('@')[2]}", "User-Agent: ComfyMesh", "Accept-Encoding: identity"]
        if parts.username is not None:
            words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers.append(f"Authorization: Basic {b64encode(words.encode()).decode()}")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "https",
            prefix=parts.path.rstrip("/"),
            headers="".join(f"{line}\r\n" for line in headers),
        )
