"""Who the caller is, and how the line to the server is protected."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from comfymesh.client.errors import InvalidRequest

KEY_IN_THE_CLEAR = "KEY_IN_THE_CLEAR"

ApiKey = str | Callable[[], str]
"""An API key or a JWT; or what answers one, asked before each call, for tokens that expire."""

_SCHEME = re.compile(r"(?:dns:///|ipv4:|ipv6:)")


@dataclass(frozen=True, slots=True)
class Tls:
    """Encrypts the line. PEM files.

    Attributes:
        ca: Who signs the server's certificate; None for those whom the system trusts.
        certificate: Our certificate, where the server wants one.
        key: Its private key.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is called.

    Attributes:
        api_key: Who calls; empty for nobody.
        tls: How the line is encrypted; None where it is not.
        allow_plaintext: Whether a key may go to another machine without encryption.
    """

    api_key: ApiKey = field(default="", repr=False)
    tls: Tls | None = None
    allow_plaintext: bool = False

    def check(self, target: str) -> None:
        """Refuses to show a key to everybody on the way.

        Raises:
            InvalidRequest: It would be.
        """
        if self.api_key and self.tls is None and not self.allow_plaintext and not is_loopback(target):
            text = (
                f"The API key would go to {target} unencrypted. Give tls=True, or, where the line is safe otherwise,"
                " allow_plaintext=True."
            )
            raise InvalidRequest(text, reason=KEY_IN_THE_CLEAR)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What says in a call who makes it."""
        key = self.api_key() if callable(self.api_key) else self.api_key
        return (("authorization", f"Bearer {key}"),) if key else ()


def is_loopback(target: str) -> bool:
    """Whether a target is on this machine."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = urlsplit(f"//{_SCHEME.sub('', target, count=1)}").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
