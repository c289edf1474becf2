"""Reads the catalogs that the fleet offers, each once, and keeps them for as long as an instance offers them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from comfymesh.artifacts.catalogs import CatalogMissingError, read_catalog
from comfymesh.artifacts.store import BlobStore
from comfymesh.graphs import Catalog
from comfymesh.runtime.background import Background
from comfymesh.wire.v1 import spec_pb2

logger = logging.getLogger(__name__)

_RETRY_WAIT = 1.0
_LONGEST_LOOK = 5.0
"""For so many seconds at most is a catalog waited for that was never looked at."""


class CatalogReader:
    """Holds each catalog that is offered, once it has been read.

    Args:
        store: Where catalogs are.

    Attributes:
        edition: Grows with every change of what is held.
    """

    def __init__(self, store: BlobStore) -> None:
        self.edition = 0
        self._store = store
        self._offered = set[str]()
        self._held = dict[str, Catalog]()
        self._reading = set[str]()
        # Those that were not looked at yet, each with what is set as soon as it was: whether it was there or not.
        self._unseen = dict[str, asyncio.Event]()

    def get(self, digest: str) -> Catalog | None:
        """A catalog, if it is held."""
        return self._held.get(digest)

    def offer(self, blobs: Iterable[spec_pb2.BlobRef], background: Background) -> None:
        """These are offered beside the others: whichever is not held is read in `background`."""
        for blob in blobs:
            digest = blob.sha256
            self._offered.add(digest)
            if digest and digest not in self._held and digest not in self._reading:
                self._reading.add(digest)
                self._unseen[digest] = asyncio.Event()
                background.spawn(self._read(blob), "catalog reader")

    def keep(self, offered: set[str]) -> None:
        """Only these are offered now: the others are dropped."""
        self._offered = offered
        self._held = {digest: catalog for digest, catalog in self._held.items() if digest in offered}
        self.edition += 1

    async def looked(self) -> bool:
        """Wait until each catalog was looked at once, or for five seconds; answers at once, False, where each was."""
        unseen = list(self._unseen.values())
        for seen in unseen:
            await seen.wait()
        return bool(unseen)

    async def _read(self, blob: spec_pb2.BlobRef) -> None:
        too_late = asyncio.get_running_loop().call_later(_LONGEST_LOOK, self._saw, blob.sha256)
        try:
            while blob.sha256 in self._offered and not await self._try(blob):
                self._saw(blob.sha256)
                await asyncio.sleep(_RETRY_WAIT)
        finally:
            too_late.cancel()
            self._saw(blob.sha256)
            self._reading.discard(blob.sha256)

    async def _try(self, blob: spec_pb2.BlobRef) -> bool:
        try:
            catalog = await read_catalog(self._store, blob)
        except CatalogMissingError as error:
            logger.warning("can't read a catalog, will try again: %s", error)
            return False
        if blob.sha256 in self._offered:
            self._held[blob.sha256] = catalog
            self.edition += 1
        return True

    def _saw(self, digest: str) -> None:
        if seen := self._unseen.pop(digest, None):
            seen.set()
