"""Which NATS servers the log may be trusted to, and how soon they put on the disk what they acknowledge. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfymesh.bus.port import BusError
from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError

Version = tuple[int, int, int]

MINIMUM: Version = (2, 11, 0)
"""Reads of a task's history are answered in one request by servers from here on (nats-server pull request 5107).

Below are 2.10.0 to 2.10.22, which forget whole streams when killed, whatever the sync setting (nats-server issue 6888),
and 2.10.19, whose guards on unreplicated streams do not hold (pull request 5841).
"""

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


class BusUnusableError(BusError, ServiceFailedError):
    """The server can't be used as it is, and trying again can't help."""

    exit_code = EXIT_CONFIGURATION

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as it tells of itself.

    Attributes:
        server_id: Its identity; new with each start.
        name: Its name.
        version: Its version, such as 2.15.1.
        cluster: Name of the cluster it is in, empty where it is in none.
        jetstream: Whether it keeps streams itself.
    """

    server_id: str = ""
    name: str = ""
    version: str = ""
    cluster: str = ""
    jetstream: bool = True


@dataclass(frozen=True, slots=True)
class KnownBad:
    """Versions from `first` up to, and without, `fixed`, and what is wrong with them.

    `clustered` restricts it to servers that replicate.
    """

    first: Version
    fixed: Version
    reason: str
    clustered: bool = False


KNOWN_BAD = (
    KnownBad(
        (2, 12, 7),
        (2, 12, 10),
        "after a restart it does not find messages of streams that keep one message a subject, which is how blobs are"
        " kept (nats-server pull request 8254)",
    ),
    KnownBad(
        (2, 11, 0),
        (2, 11, 12),
        "copies of a stream may come to differ when messages are removed while one is brought up to date (nats-server"
        " pull request 7655)",
        clustered=True,
    ),
    KnownBad(
        (2, 12, 0),
        (2, 12, 3),
        "copies of a stream may come to differ when messages are removed while one is brought up to date (nats-server"
        " pull request 7655), and acknowledged messages are lost when members change during a fault (issue 7545)",
        clustered=True,
    ),
)
"""Releases that lose what they acknowledged, in a way that our streams can meet."""


def parse_version(text: str) -> Version | None:
    """The three numbers of a version; what follows them is left out. None for what is no version."""
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def check_version(server: Server, known_bad: Sequence[KnownBad] = KNOWN_BAD) -> None:
    """Refuse a server that lacks what we need or is known to lose messages. One whose version can't be read is taken.

    Raises:
        BusUnusableError: SERVER_TOO_OLD or SERVER_KNOWN_BAD.
    """
    version = parse_version(server.version)
    if version is None:
        return
    if version < MINIMUM:
        raise BusUnusableError(
            "SERVER_TOO_OLD",
            f"NATS server {server.name} is {server.version}, and {_text(MINIMUM)} is the oldest that can keep the task"
            " log: upgrade it",
        )
    for bad in known_bad:
        if bad.first <= version < bad.fixed and (server.cluster or not bad.clustered):
            raise BusUnusableError(
                "SERVER_KNOWN_BAD",
                f"NATS server {server.name} is {server.version}, which must not keep the task log: {bad.reason};"
                f" upgrade it to {_text(bad.fixed)} or later",
            )


def jetstream_off(server: Server) -> BusUnusableError:
    """The refusal of a server without JetStream."""
    return BusUnusableError(
        "JETSTREAM_OFF",
        f"NATS server {server.name} has JetStream turned off, at all or for our account: give its configuration a block"
        " `jetstream {}` with a store_dir, as in deploy/nats/single.conf",
    )


def sync_seconds(varz: Mapping[str, Any]) -> float | None:
    """How many seconds what was acknowledged may be off the disk: 0 for none; None where the server does not say.

    Args:
        varz: What its monitoring port answers at /varz.
    """
    configuration = (varz.get("jetstream") or {}).get("config") or {}
    if configuration.get("sync_always"):
        return 0.0
    interval = configuration.get("sync_interval")
    return interval / 1e9 if interval else None


def describe_sync(seconds: float | None) -> str:
    """The sync setting in the server's own words."""
    if seconds is None:
        return "unknown"
    return f"every {seconds:g} s" if seconds else "always"


def _text(version: Version) -> str:
    return ".".join(map(str, version))
