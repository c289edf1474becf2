"""What systemd is told of this process, by the protocol of sd_notify(3). Without systemd, nothing is told.

The protocol is a datagram to the socket that NOTIFY_SOCKET names. Nobody else is asked to speak it: it is smaller than
any package that does.
"""

from __future__ import annotations

import asyncio
import os
import socket

_PULSE_SECONDS = 5.0
_EXTENSION_SECONDS = 30


def ready(status: str) -> None:
    """The service does what it is for. `status` is shown by `systemctl status`."""
    _tell("READY=1", f"STATUS={status}")


def status(text: str) -> None:
    """What the service is doing, for people."""
    _tell(f"STATUS={text}")


def stopping(text: str) -> None:
    """The service has begun to stop."""
    _tell("STOPPING=1", f"STATUS={text}")


async def pulse() -> None:
    """Say again and again, for ever, that the event loop turns: one that hangs falls silent and is killed for it.

    With each beat goes a request for more time, which counts only while the service starts or stops: waiting for NATS,
    or for attempts to end, may take as long as it has to, but hanging meanwhile may not.
    """
    while True:
        _tell("WATCHDOG=1", f"EXTEND_TIMEOUT_USEC={_EXTENSION_SECONDS * 1_000_000}")
        await asyncio.sleep(_interval())


def _interval() -> float:
    """Seconds between two beats: a third of what the watchdog allows, so that one may come late."""
    allowed = int(os.environ.get("WATCHDOG_USEC") or 0) / 1e6
    return min(allowed / 3, _PULSE_SECONDS) if allowed else _PULSE_SECONDS


def _tell(*lines: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    # A path that begins with @ is in the abstract namespace, whose names begin with a null byte.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.setblocking(False)  # noqa: FBT003  # its only argument
        try:
            notifier.sendto("\n".join(lines).encode(), address)
        except OSError:
            # A supervisor that does not listen learns nothing, and does what it does with whoever says nothing.
            return
