"""How files are served: which part, under which type and name. Files of tasks are hostile: none is run by a browser."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_UNFIT = re.compile(r"[^ -!#-\[\]-~]")
_ACTIVE = frozenset(
    {
        "text/html",
        "text/html-sandboxed",
        "application/xhtml+xml",
        "text/javascript",
        "application/javascript",
        "text/css",
        "image/svg+xml",
        "text/xml",
        "application/xml",
    }
)
"""What a browser would run. ComfyUI 0.33 has the same list."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes from `start` up to, and not including, `end`; `partial` where they were asked for so."""

    start: int
    end: int
    partial: bool

    @property
    def length(self) -> int:
        """How many."""
        return self.end - self.start


def part(header: str | None, size: int) -> Part | None:
    """The part that a Range header asks for; None where there is nothing. What is no single range is left unheard."""
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return Part(0, size, partial=False)
    if not found[1]:
        last = int(found[2])
        return Part(max(0, size - last), size, partial=True) if last and size else None
    start, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
    return Part(start, end, partial=True) if start < end else None


def shown_type(filename: str, media_type: str) -> str:
    """The type under which a file is served."""
    fits = re.fullmatch(r"[\w.+-]+/[\w.+-]+(; *[\w-]+=[\w.-]+)*", media_type)
    return "application/octet-stream" if is_active(filename, media_type) or not fits else media_type


def disposition(filename: str, media_type: str) -> str:
    """What says how a file is to be called, and whether a browser may show it."""
    kind = "attachment; " if is_active(filename, media_type) else ""
    return f'{kind}filename="{_UNFIT.sub("_", filename)}"'


def is_active(filename: str, media_type: str) -> bool:
    """Whether a browser might run a file, going by what it holds or how it is called."""
    named = mimetypes.guess_type(filename)[0]
    return media_type.partition(";")[0].strip().lower() in _ACTIVE or named in _ACTIVE
