"""The file that a child writes its output to, kept small and read from its end."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes.contract import LOG_TAIL_BYTES

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 32 * 1024 * 1024


def tail(path: Path, lines: int) -> str:
    """Return the last lines, at most `LOG_TAIL_BYTES`; empty where there is no file."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return last_lines(log.read(), lines)
    except FileNotFoundError:
        return ""


def last_lines(output: bytes, lines: int) -> str:
    """Return the last lines of an output as text, at most `LOG_TAIL_BYTES` of it."""
    kept = output[-LOG_TAIL_BYTES:].splitlines(keepends=True)[-lines:] if lines > 0 else []
    return b"".join(kept).decode("utf-8", errors="replace")


def rotate(path: Path) -> None:
    """Put the output of the former process aside, in place of that of the one before it."""
    if path.exists():
        path.replace(_former(path))


def bound(path: Path, limit: int = LIMIT_BYTES) -> None:
    """Cut a file that grew over the limit. The child appends, so it goes on at the new end by itself."""
    if path.exists() and path.stat().st_size > limit:
        shutil.copyfile(path, _former(path))
        os.truncate(path, 0)


def _former(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")
