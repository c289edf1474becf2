"""Choosing a port on the loopback interface for a server that opens it only some seconds later."""

from __future__ import annotations

import socket
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

FIRST, COUNT = 20_000, 10_000
"""Below the range that kernels give to outgoing connections, so that none slips in before the server opens its port."""


def choose(seed: str, taken: Collection[int]) -> int | None:
    """Return a free port that is not in `taken`; None when every one is in use. The same seed prefers the same port."""
    return next((port for port in _candidates(seed) if port not in taken and is_free(port)), None)


def is_free(port: int) -> bool:
    """Whether a server could open this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a former server that are still winding down are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _candidates(seed: str) -> Iterator[int]:
    start = zlib.crc32(seed.encode())
    return (FIRST + (start + offset) % COUNT for offset in range(COUNT))
