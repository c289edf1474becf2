"""Keeps the file up to date by which a service shows whether it works."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError
from comfymesh.runtime.health import HEALTH, WRITE_SECONDS, Shown, write

logger = logging.getLogger(__name__)


class HealthFileError(ServiceFailedError):
    """The file can't be written."""

    reason = "HEALTH_FILE"
    exit_code = EXIT_CONFIGURATION


@contextlib.asynccontextmanager
async def showing(path: str, parts: Mapping[str, float]) -> AsyncIterator[None]:
    """Show how `parts` are, each of which may be silent for so many seconds. The file goes when the service ends.

    Without a path or parts, nothing is shown.

    Raises:
        HealthFileError: the file can't be written, or another service writes it.
    """
    if not path or not parts:
        yield
        return
    lock = _lock(Path(path))
    keeping = asyncio.ensure_future(_keep(Path(path), parts))
    try:
        _begin(Path(path), parts)
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(OSError):
            Path(path).unlink()  # noqa: ASYNC240  # a moment, as it ends
        os.close(lock)


def _lock(path: Path) -> int:
    """Nobody else writes this file: one that works would hide that another does not. Who is killed leaves no lock."""
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise HealthFileError(f"another service writes {path}: give each a COMFYMESH_HEALTH_FILE of its own") from error
    return lock


def _begin(path: Path, parts: Mapping[str, float]) -> None:
    try:
        _show(path, parts)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> HealthFileError:
    return HealthFileError(f"can't write {path}: {error.strerror}; see COMFYMESH_HEALTH_FILE")


async def _keep(path: Path, parts: Mapping[str, float]) -> None:
    while True:
        await asyncio.sleep(WRITE_SECONDS)
        try:
            _show(path, parts)
        except OSError as error:  # a full disk, perhaps: the file grows old, which says enough
            logger.warning("can't write %s: %s", path, error, extra={"action": "health_file_failed"})


def _show(path: Path, parts: Mapping[str, float]) -> None:
    write(path, Shown(time.monotonic(), tuple(HEALTH.troubles(parts))))
