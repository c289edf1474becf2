"""Whether the settings are safe to start with. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError


class UnsafeSettingsError(ServiceFailedError):
    """The api would be open to whoever reaches it, or send keys in the clear."""

    reason = "UNSAFE_SETTINGS"
    exit_code = EXIT_CONFIGURATION


@dataclass(frozen=True, slots=True)
class Posture:
    """What decides it: the address, whether callers are authenticated and the line is encrypted, what was accepted."""

    listen: str
    is_open: bool
    has_tls: bool
    allow_open: bool = False
    allow_plaintext: bool = False


def check(posture: Posture) -> None:
    """Refuse what is not safe and was not accepted.

    Raises:
        UnsafeSettingsError: with what to do.
    """
    if problems := list(_problems(posture)):
        raise UnsafeSettingsError("; ".join(problems))


def _problems(posture: Posture) -> Iterator[str]:
    if is_loopback(posture.listen):
        return
    others = f"COMFYMESH_API_LISTEN is {posture.listen}, which other machines can reach"
    if posture.is_open and not posture.allow_open:
        yield (
            f"{others}, and COMFYMESH_API_AUTH=open lets everybody run and cancel tasks: set COMFYMESH_API_AUTH=keys,"
            " or listen on 127.0.0.1, or accept it with COMFYMESH_API_ALLOW_OPEN=true"
        )
    if not posture.has_tls and not posture.allow_plaintext:
        yield (
            f"{others}, and without TLS all that is sent can be read on the way: set COMFYMESH_API_TLS_CERTIFICATE and"
            " COMFYMESH_API_TLS_KEY, or listen on 127.0.0.1, or, behind a proxy that has TLS, accept it with"
            " COMFYMESH_API_ALLOW_PLAINTEXT=true"
        )


def is_loopback(listen: str) -> bool:
    """Whether only this machine reaches an address: `host:port`, or a gRPC target such as `unix:/path`."""
    if listen.startswith(("unix:", "unix-abstract:")):
        return True
    try:
        host = urlsplit(f"//{listen}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe_source(source: str) -> bool:
    """Whether keys may be read from there: a file, https, or http on this machine."""
    if "://" not in source:
        return True
    parts = urlsplit(source)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.netloc.rpartition("@")[2]))
