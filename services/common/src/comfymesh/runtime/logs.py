"""Logs: a sentence for people, fields for machines, and in every line what it is of: task, tenant, attempt, trace ...

Readable on a terminal, entries with fields in systemd's journal, one JSON object a line otherwise. Secrets and prompts
are taken out of all of them, unless a setting says otherwise.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from comfymesh.runtime import journal, logcontext, redaction
from comfymesh.telemetry import tracing

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_AS_IT_IS = (int, float, bool, type(None))

_COLORS = {"D": "2", "I": "32", "W": "33", "E": "31", "C": "1;31"}
_DIM = "2"


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra`, and what the context adds."""
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


class Completing(logging.Filter):
    """Adds to a record what its context says, and takes out what is nobody's business.

    Args:
        redact: Whether secrets and prompts are taken out.
    """

    def __init__(self, *, redact: bool = True) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter. Every record passes, once completed."""
        for name, value in {**tracing.ids(), **logcontext.current().fields}.items():
            vars(record).setdefault(name, value)
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if self._redact:
            self._clean(record)
        return True

    def _clean(self, record: logging.LogRecord) -> None:
        private = [known() for known in logcontext.current().private]
        # The sentence itself is ours; what stands in it may not be.
        ours = str(record.msg) if any(known.everything for known in private) else ""
        record.msg, record.args = ours or _cleaned(record.getMessage(), private), ()
        for name, value in fields(record).items():
            if name in redaction.PRIVATE_FIELDS:
                vars(record)[name] = redaction.HIDDEN
            elif not isinstance(value, _AS_IT_IS):
                vars(record)[name] = _cleaned(str(value), private)
        for name in ("exc_text", "stack_info"):
            if text := getattr(record, name):
                setattr(record, name, _cleaned(text, private))


def _cleaned(text: str, private: Iterable[redaction.Private]) -> str:
    for known in private:
        text = redaction.without(text, known)
    return redaction.without_secrets(text)


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
        if record.exc_info or record.exc_text:
            line["exception"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people.

    Args:
        service: The service's name.
        colors: Whether the terminal shows colors.
    """

    def __init__(self, service: str, *, colors: bool = False) -> None:
        super().__init__(f"%(asctime)s %(levelname).1s {service}: %(message)s", "%H:%M:%S")
        self._colors = colors

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        extra = " ".join(f"{name}={value}" for name, value in fields(record).items() if name != "action")
        first, *rest = super().format(record).split("\n")
        if self._colors:
            first = first.replace(f" {record.levelname[0]} ", f" {_painted(record.levelname[0])} ", 1)
        told = _painted(f"[{extra}]", _DIM) if self._colors else f"[{extra}]"
        return "\n".join([f"{first}  {told}" if extra else first, *rest])


def _painted(text: str, color: str = "") -> str:
    return f"\x1b[{color or _COLORS[text]}m{text}\x1b[0m"


def set_up(service: str, level: str, *, redact: bool = True) -> None:
    """Send every log record of this process to standard error, or to the journal where that is the same."""
    handler = _handler(service)
    handler.addFilter(Completing(redact=redact))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The client library reports what our own connection reports with more context.
    logging.getLogger("nats").setLevel(logging.CRITICAL)


def _handler(service: str) -> logging.Handler:
    if journal.takes_stderr():
        return journal.JournalHandler(service, fields)
    handler = logging.StreamHandler(sys.stderr)
    # NO_COLOR: see no-color.org.
    colors = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    terminal = sys.stderr.isatty()
    handler.setFormatter(TextFormatter(service, colors=colors) if terminal else JsonFormatter(service))
    return handler
