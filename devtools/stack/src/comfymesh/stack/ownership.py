"""What a mesh has to itself: its folder and its address."""

from __future__ import annotations

import fcntl
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOST = re.compile(r"\[[^\[\]]+\]|[^\[\]]+")


class MeshNotReadyError(Exception):
    """The mesh did not come up; the message says why and what to do."""


@contextmanager
def sole_user(directory: Path) -> Iterator[int]:
    """Have a folder to oneself, and with those that inherit the file descriptor that is handed out.

    The system lets go of it when the last of them has ended, however that comes about.

    Raises:
        MeshNotReadyError: another mesh uses it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MeshNotReadyError(
                f"another mesh, or the rest of a killed one, runs in {directory}; stop it, or choose another (--data)"
            ) from None
        yield lock.fileno()


def require_address(address: str, option: str = "--listen") -> tuple[str, int]:
    """Host and port of `host:port`; `option` is what sets it.

    Raises:
        MeshNotReadyError: it is none.
    """
    host, _, port = address.rpartition(":")
    if not (_HOST.fullmatch(host) and port.isdecimal() and len(port) <= 5 and int(port) < 65536):
        raise MeshNotReadyError(f"can't listen on {address!r}: write HOST:PORT ({option}), such as 127.0.0.1:7700")
    return host, int(port)


def require_free(address: str, option: str = "--listen") -> None:
    """Make sure that nobody listens at `host:port`: what answers there would pass for ours.

    Raises:
        MeshNotReadyError: somebody does, or nobody can.
    """
    host, port = require_address(address, option)
    try:
        with socket.socket(_family(host)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), port))
            probe.listen()
    except (OSError, ValueError) as error:
        raise MeshNotReadyError(
            f"can't listen on {address}: {error}; stop what listens there, or choose another address ({option})"
        ) from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
