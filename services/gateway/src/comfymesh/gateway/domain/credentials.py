"""Who calls: where a client of ComfyUI can put a key. Whether it is one is for the API to say."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_KEY = 8192


def key(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The key of a request, or empty.

    As `Authorization: Bearer`, as the password of `Authorization: Basic`, as `X-API-Key`, or as `?token=`, for sockets
    of browsers.
    """
    scheme, _, told = headers.get("Authorization", "").partition(" ")
    authorized = {"bearer": told, "basic": _password(told)}.get(scheme.lower(), "")
    found = (authorized or headers.get("X-API-Key", "") or query.get("token", "")).strip()
    # What could not be a header of the call to the API is no key, and is shown to nobody.
    return found if found.isascii() and found.isprintable() and len(found) <= _LONGEST_KEY else "unusable"


def _password(told: str) -> str:
    try:
        return base64.b64decode(told, validate=True).decode().partition(":")[2]
    except ValueError:
        return "unusable"


def is_foreign(headers: Mapping[str, str], allowed: str) -> bool:
    """Whether a page of another origin asks (ComfyUI protocol notes, section 12).

    Where the gateway is called by another name than loopback's, a proxy before it may have changed that name, so
    nothing is compared; there callers need keys, which pages of others do not have.

    Args:
        headers: Of the request.
        allowed: An origin whose pages may ask, or empty.
    """
    origin, host = headers.get("Origin"), headers.get("Host")
    if origin is not None and allowed and origin == allowed:
        return False
    if headers.get("Sec-Fetch-Site") == "cross-site":
        return True
    if origin is None or host is None:
        return False
    try:
        return urlsplit(f"//{host}").hostname in _LOOPBACK and urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True
