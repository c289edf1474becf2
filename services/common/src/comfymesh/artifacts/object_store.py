"""Blobs in a directory or a cloud's object store. The only module that knows obstore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore as Backend
from obstore.store import from_url

from comfymesh.artifacts.content import CHUNK_BYTES, Content
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError


class ObjectStore:
    """Keeps a blob as the object `<owner>/<first two digits>/<sha256>`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @classmethod
    def at(cls, url: str) -> Self:
        """The store at `url`. Credentials come from the environment, as each cloud's own tools read them."""
        if url.startswith("file:"):
            return cls(from_url(url, mkdir=True))
        return cls(from_url(url))

    async def put(self, owner: str, content: Content) -> None:
        """See BlobStore.put."""
        try:
            await obstore.put_async(self._backend, _path(owner, content.sha256), content.chunks())
        except (BaseError, OSError) as error:
            raise StoreUnavailableError(f"the object store did not take {content.sha256}: {error}") from error

    async def read(self, owner: str, sha256: str, size_bytes: int, offset_bytes: int = 0) -> AsyncIterator[bytes]:
        """See BlobStore.read."""
        path = _path(owner, sha256)
        for start in range(offset_bytes, size_bytes, CHUNK_BYTES):
            end = min(start + CHUNK_BYTES, size_bytes)
            try:
                piece = bytes(await obstore.get_range_async(self._backend, path, start=start, end=end))
            except (NotFoundError, FileNotFoundError) as error:
                raise BlobMissingError(owner, sha256) from error
            except (BaseError, OSError) as error:
                raise StoreUnavailableError(f"the object store did not give {sha256}: {error}") from error
            if len(piece) != end - start:
                raise BlobMissingError(owner, sha256)
            yield piece


def _path(owner: str, sha256: str) -> str:
    return f"{owner}/{sha256[:2]}/{sha256}"
