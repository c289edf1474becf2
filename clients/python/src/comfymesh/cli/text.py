"""Words and figures for people. Whatever comes from a server is cleaned before a terminal sees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def clean(text: str) -> str:
    """The text without escape sequences, control characters and direction marks; newlines and tabs stay."""
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text))


def one_line(text: str) -> str:
    """The text, cleaned, on one line."""
    return " ".join(clean(text).split())


def size(count: int) -> str:
    """So many bytes, such as ``1.4 MiB``."""
    amount = float(count)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """So many seconds, such as ``8 s``, ``2 min 05 s`` or ``3 h 12 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} days"


def age(then: datetime | None, now: datetime) -> str:
    """How long ago, or a dash when it is not known."""
    if then is None:
        return "-"
    seconds = (now - then).total_seconds()
    return "now" if seconds < 1 else f"{duration(seconds)} ago"


def percent(fraction: float) -> str:
    """A share, such as ``62 %``."""
    return f"{min(max(fraction, 0.0), 1.0) * 100:.0f} %"


def short_name(name: str) -> str:
    """The last part of a resource name, enough for any command."""
    return one_line(name).rsplit("/", 1)[-1]
