"""What the instances of each pool offer, kept on disk, so that it is known while none of them runs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import zlib
from pathlib import Path
from typing import Any

from comfymesh.agent.runtimes.pool_specs import PoolSpec
from comfymesh.agent.runtimes.specs import models_directory

logger = logging.getLogger(__name__)

_MAX_BYTES = 256 * 1024 * 1024
_MOST_FOLDERS = 2000


class KeptCatalog:
    """The catalog of one pool, under its settings: another image offers something else.

    Args:
        spec: The pool.
        state_directory: Where the agent keeps what must outlive it.
    """

    def __init__(self, spec: PoolSpec, state_directory: Path) -> None:
        settings = json.dumps(spec.model_dump(mode="json", include={"instance"}), sort_keys=True)
        digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self._folder = state_directory / "catalogs"
        self._name = f"{spec.name}."
        self._path = self._folder / f"{self._name}{digest}.json.z"
        self._models = models_directory(spec.members[0])

    async def read(self) -> bytes | None:
        """The catalog as text; None if there is none that can be read."""
        return await asyncio.to_thread(self._read)

    async def outdated(self) -> bool:
        """Whether model files have come or gone since, as far as this host shows them."""
        return await asyncio.to_thread(self._outdated)

    async def write(self, catalog: bytes) -> None:
        """Keep a catalog, and none of this pool's under other settings. Failing that costs a start of an instance."""
        try:
            await asyncio.to_thread(self._write, catalog)
        except OSError as error:
            logger.warning("%s can't be kept: %s", self._path, error)

    def _outdated(self) -> bool:
        try:
            known = self._path.stat().st_mtime
        except OSError:
            return False
        return self._models is not None and _changed_after(self._models, known)

    def _read(self) -> bytes | None:
        try:
            text = zlib.decompressobj().decompress(self._path.read_bytes(), _MAX_BYTES)
            document: Any = json.loads(text)
        except FileNotFoundError:
            return None
        except (OSError, zlib.error, ValueError, RecursionError) as error:
            logger.warning("%s can't be read: %s", self._path, error)
            return None
        return text if isinstance(document, dict) else None

    def _write(self, catalog: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        draft.write_bytes(zlib.compress(catalog, 6))
        draft.replace(self._path)
        for other in self._folder.glob(f"{self._name}*.json.z"):
            if other != self._path:
                other.unlink(missing_ok=True)


def _changed_after(folder: Path, moment: float) -> bool:
    """Whether a folder, or one below it, has another content since; seconds since the epoch."""
    for (path, _, _), _ in zip(os.walk(folder), range(_MOST_FOLDERS), strict=False):
        with contextlib.suppress(OSError):
            if Path(path).stat().st_mtime > moment:
                return True
    return False
