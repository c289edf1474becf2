"""Keeps the file up to date by which a service shows whether it works."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
        HealthFileError: the file can't be written.
    """
    if not path or not parts:
        yield
        return
    try:
        _show(Path(path), parts)
    except OSError as error:
        raise HealthFileError(f"can't write {path}: {error.strerror}; see COMFYMESH_HEALTH_FILE") from error
    keeping = asyncio.ensure_future(_keep(Path(path), parts))
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(OSError):
            Path(path).unlink()  # noqa: ASYNC240  # a moment, as it ends


async def _keep(path: Path, parts: Mapping[str, float]) -> None:
    while True:
        await asyncio.sleep(WRITE_SECONDS)
        try:
            _show(path, parts)
        except OSError as error:  # a full disk, perhaps: the file grows old, which says enough
            logger.warning("can't write %s: %s", path, error, extra={"action": "health_file_failed"})


def _show(path: Path, parts: Mapping[str, float]) -> None:
    write(path, Shown(time.monotonic(), tuple(HEALTH.troubles(parts))))
