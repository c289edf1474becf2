"""Logs for systemd's journal, in its own protocol: the sentence is the message, and each field can be searched.

    journalctl -u comfymesh-agent COMFYMESH_TASK=...

See https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Callable, Mapping

SOCKET = "/run/systemd/journal/socket"

_UNFIT = re.compile(r"[^A-Z0-9_]")
_MOST_BYTES = 64 * 1024
"""Of one field. Larger datagrams may be refused; what is longer than this helps nobody in a journal."""
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def takes_stderr() -> bool:
    """Whether standard error goes to the journal, which says so in JOURNAL_STREAM (systemd.exec(5))."""
    try:
        device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
        told = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(told.st_dev), str(told.st_ino))


def priority(level: int) -> int:
    """The journal's number for a level: 2 critical, 3 error, 4 warning, 6 info, 7 debug."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


def entry(fields: Mapping[str, object]) -> bytes:
    """One entry, in the form that takes values of any content."""
    lines = []
    for name, value in fields.items():
        data = str(value).encode(errors="replace")[:_MOST_BYTES]
        lines.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
    return b"".join(lines)


def field(name: str) -> str:
    """The journal's name of one of our log fields."""
    return "COMFYMESH_" + _UNFIT.sub("_", name.upper())


class JournalHandler(logging.Handler):
    """Sends records to the journal.

    Args:
        service: The service's name.
        fields: Takes our own fields out of a record.
        path: The journal's socket.
    """

    def __init__(
        self, service: str, fields: Callable[[logging.LogRecord], Mapping[str, object]], path: str = SOCKET
    ) -> None:
        super().__init__()
        self._service = service
        self._own = fields
        self.setFormatter(logging.Formatter("%(message)s"))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler.emit. What the journal does not take goes to standard error, as it would without one."""
        text = self.format(record)
        try:
            self._socket.sendto(entry(self._all(record, text)), self._path)
        except OSError:
            sys.stderr.write(f"<{priority(record.levelno)}>{text}\n")

    def close(self) -> None:
        """See logging.Handler.close."""
        self._socket.close()
        super().close()

    def _all(self, record: logging.LogRecord, text: str) -> dict[str, object]:
        return {
            "MESSAGE": text,
            "PRIORITY": priority(record.levelno),
            "SYSLOG_IDENTIFIER": f"comfymesh-{self._service}",
            "COMFYMESH_LOGGER": record.name,
            **{field(name): value for name, value in self._own(record).items()},
        }
