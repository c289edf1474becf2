"""Writes everything that was told to a file, a line of JSON each, for those who read logs and not streams."""

from __future__ import annotations

import json
import logging
from datetime import UTC
from logging.handlers import RotatingFileHandler
from pathlib import Path

from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError
from comfymesh.v1 import alert_pb2

logger = logging.getLogger(__name__)

_LARGEST = 16 << 20
_KEPT = 4


class LogUnwritableError(ServiceFailedError):
    """The file can't be written."""

    reason = "ALERT_LOG_UNWRITABLE"
    exit_code = EXIT_CONFIGURATION


class History:
    """A log of what was told: in a file, if there is one, and in the service's own log.

    Args:
        path: The file; it is changed for a new one every 16 MiB, and four old ones are kept.

    Raises:
        LogUnwritableError: it can't be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else _open(path)

    def write(self, notice: alert_pb2.AlertNotice) -> None:
        """Write a notice."""
        fields = {
            "notice": notice.name.partition("/")[2],
            "kind": alert_pb2.AlertNotice.Kind.Name(notice.kind).removeprefix("KIND_").lower(),
            "severity": alert_pb2.AlertSeverity.Name(notice.severity).removeprefix("ALERT_SEVERITY_").lower(),
            "rule": notice.alert.rule,
            "alert": notice.alert.name.partition("/")[2],
            "labels": dict(notice.alert.labels),
            "count": notice.alert.count,
            "new": notice.new_count,
            "suppressed": notice.suppressed_count,
            "channels": list(notice.channels),
        }
        logger.info("%s", notice.title, extra={"action": "alert_told", **fields})
        moment = notice.create_time.ToDatetime(UTC).isoformat(timespec="milliseconds")
        line = {"time": moment, **fields, "title": notice.title, "message": notice.alert.message}
        if self._file is not None:
            self._file.handle(logging.makeLogRecord({"msg": json.dumps(line, ensure_ascii=False)}))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _open(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(path, maxBytes=_LARGEST, backupCount=_KEPT, encoding="utf-8")
    except OSError as error:
        raise LogUnwritableError(f"the alert log {path} can't be written: {error}") from error
