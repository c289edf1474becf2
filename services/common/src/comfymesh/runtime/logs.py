"""Logs: a sentence for people, fields for machines.

Readable on a terminal, entries with fields in systemd's journal, one JSON object a line otherwise.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from comfymesh.runtime import journal

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people."""

    def __init__(self, service: str) -> None:
        super().__init__(f"%(asctime)s %(levelname).1s {service}: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        extra = " ".join(f"{name}={value}" for name, value in fields(record).items() if name != "action")
        first, *rest = super().format(record).split("\n")
        return "\n".join([f"{first}  [{extra}]" if extra else first, *rest])


def set_up(service: str, level: str) -> None:
    """Send every log record of this process to standard error, or to the journal where that is the same."""
    logging.basicConfig(level=level.upper(), handlers=[_handler(service)], force=True)
    # The client library reports what our own connection reports with more context.
    logging.getLogger("nats").setLevel(logging.CRITICAL)


def _handler(service: str) -> logging.Handler:
    if journal.takes_stderr():
        return journal.JournalHandler(service, fields)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter(service) if sys.stderr.isatty() else JsonFormatter(service))
    return handler
