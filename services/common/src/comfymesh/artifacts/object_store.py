"""Blobs in a directory or a cloud's object store. The only module that knows obstore."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import AzureStore, GCSStore, S3Store, from_url
from obstore.store import ObjectStore as Backend

from comfymesh.artifacts.content import CHUNK_BYTES, Content
from comfymesh.artifacts.errors import BlobMissingError, StoreFullError, StoreUnavailableError
from comfymesh.artifacts.versions import Version

FRESH = 3600.0
"""Seconds for which what was put is not put again. What is younger than twice that is never called removable, so that
whoever did not put it again, since it was there, has an hour before anybody thinks of removing it."""

_CLOCKS_DIFFER = 60.0
"""Seconds by which an object may be younger than now; what is younger still was put by a clock that is wrong."""

_PATH = re.compile("[^/]+/(?P<sha256>[0-9a-f]{64})/[0-9a-f]{32}")
"""Where we put objects. What is elsewhere is not ours: it is not read, and above all not removed."""

# As operating systems say it: obstore hands on their text and not their number.
_FULL = (f"(os error {errno.ENOSPC})", f"(os error {errno.EDQUOT})")


@dataclass(frozen=True, slots=True, order=True)
class _Object:
    """One of our objects as it was listed. Ordered by age, the newest last."""

    time: float
    path: str
    size_bytes: int

    @property
    def sha256(self) -> str:
        """Of which blob it is."""
        return self.path.split("/")[1]


class ObjectStore:
    """Keeps a blob as an object `<owner>/<sha256>/<a name that is never used again>`.

    No store can be asked to delete an object only if it is still the one that was found. So no name is written twice:
    what is put again gets another name, and deleting an old one can't hit it, however late that comes.

    Args:
        backend: Where the objects are.
        clock: Answers seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._clock = clock

    @classmethod
    def at(cls, url: str) -> Self:
        """The store at `url`. Credentials come from the environment, as each cloud's own tools read them."""
        if url.startswith("file:"):
            # Each blob is a folder of its own, which goes with the last file in it.
            return cls(from_url(url, mkdir=True, automatic_cleanup=True))
        return cls(from_url(url))

    async def put(self, owner: str, content: Content) -> None:
        """See BlobStore.put."""
        sha256 = content.sha256
        there = await self._newest(owner, sha256)
        if there is not None and there.size_bytes == content.size_bytes and self._is_fresh(there):
            return
        with _told(f"the object store did not take {sha256}"):
            await obstore.put_async(self._backend, f"{_folder(owner, sha256)}/{uuid4().hex}", content.chunks())

    async def read(self, owner: str, sha256: str, size_bytes: int, offset_bytes: int = 0) -> AsyncIterator[bytes]:
        """See BlobStore.read."""
        found = await self._get(owner, sha256)
        for start in range(offset_bytes, size_bytes, CHUNK_BYTES):
            end = min(start + CHUNK_BYTES, size_bytes)
            while (piece := await self._range(found, start, end)) is None:
                # Removed, since it was put again meanwhile; or gone.
                found = await self._get(owner, sha256)
            if len(piece) != end - start:
                raise BlobMissingError(owner, sha256)
            yield piece

    async def versions(self, owner: str) -> AsyncIterator[Version]:
        """See BlobStore.versions."""
        newest = dict[str, _Object]()
        found = await self._list(owner)
        for each in found:
            newest[each.sha256] = max(each, newest.get(each.sha256, each))
        for each in found:
            if self._age(each) >= 2 * FRESH:
                yield Version(each.sha256, each.path, superseded=each != newest[each.sha256])

    async def remove(self, owner: str, version: Version) -> None:
        """See BlobStore.remove."""
        assert version.place.startswith(f"{_folder(owner, version.sha256)}/")
        with _told(f"the object store did not remove {version.place}"):
            try:
                await obstore.delete_async(self._backend, version.place)
            except (NotFoundError, FileNotFoundError):
                return

    async def sign(self, owner: str, sha256: str, lifetime: timedelta) -> str:
        """See BlobStore.sign."""
        if not isinstance(self._backend, S3Store | GCSStore | AzureStore):
            return ""
        found = await self._get(owner, sha256)
        with _told(f"no URL could be made for {sha256}"):
            return str(await obstore.sign_async(self._backend, "GET", found.path, lifetime))

    def _is_fresh(self, found: _Object) -> bool:
        return -_CLOCKS_DIFFER <= self._age(found) < FRESH

    def _age(self, found: _Object) -> float:
        return self._clock() - found.time

    async def _get(self, owner: str, sha256: str) -> _Object:
        found = await self._newest(owner, sha256)
        if found is None:
            raise BlobMissingError(owner, sha256)
        return found

    async def _newest(self, owner: str, sha256: str) -> _Object | None:
        return max(await self._list(_folder(owner, sha256)), default=None)

    async def _list(self, prefix: str) -> list[_Object]:
        with _told(f"the object store did not list {prefix}"):
            return [
                _Object(meta["last_modified"].timestamp(), meta["path"], meta["size"])
                async for page in obstore.list(self._backend, prefix)
                for meta in page
                if _PATH.fullmatch(meta["path"])
            ]

    async def _range(self, found: _Object, start: int, end: int) -> bytes | None:
        """Bytes of an object; None where it is gone."""
        with _told(f"the object store did not give {found.path}"):
            try:
                return bytes(await obstore.get_range_async(self._backend, found.path, start=start, end=end))
            except (NotFoundError, FileNotFoundError):
                return None


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever a backend raises, in our words."""
    try:
        yield
    except (BaseError, OSError) as error:
        full = any(text in str(error) for text in _FULL)
        raise (StoreFullError if full else StoreUnavailableError)(f"{what}: {error}") from error


def _folder(owner: str, sha256: str) -> str:
    return f"{owner}/{sha256}"
