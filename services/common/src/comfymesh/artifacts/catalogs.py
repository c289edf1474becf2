"""Catalogs in the artifact store: ComfyUI's object_info, compressed, shared by all instances that offer the same."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from typing import TypeVar

from comfymesh.artifacts.content import Content
from comfymesh.artifacts.errors import BlobMissingError, StoreUnavailableError
from comfymesh.artifacts.store import BlobStore, read_all
from comfymesh.bus.subjects import FLEET
from comfymesh.graphs import Catalog, JsonValue
from comfymesh.wire.v1 import spec_pb2

_MAX_BYTES = 256 * 1024 * 1024

T = TypeVar("T")


class CatalogMissingError(Exception):
    """A catalog can't be had, or is not one."""


async def write_catalog(store: BlobStore, object_info: bytes) -> spec_pb2.BlobRef:
    """Store what `GET /object_info` answered.

    Raises:
        StoreUnavailableError: the store did not take it.
    """
    with Content.of(await asyncio.to_thread(zlib.compress, object_info, 6)) as content:
        await store.put(FLEET, content)
        return spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes)


async def read_catalog(store: BlobStore, blob: spec_pb2.BlobRef) -> Catalog:
    """Read a catalog. Parsing a large one takes a moment, and is done off the event loop.

    Raises:
        CatalogMissingError: it can't be had, or is not one.
    """
    return await _read(store, blob, lambda data: Catalog.from_object_info(_parse(data)))


async def read_object_info(store: BlobStore, blob: spec_pb2.BlobRef) -> dict[str, JsonValue]:
    """Read what the instance answered, as it was.

    Raises:
        CatalogMissingError: it can't be had, or is not a catalog.
    """
    return await _read(store, blob, _parse)


async def _read(store: BlobStore, blob: spec_pb2.BlobRef, parse: Callable[[bytes], T]) -> T:
    try:
        data = await read_all(store, FLEET, blob.sha256, blob.size_bytes)
        return await asyncio.to_thread(parse, data)
    except (BlobMissingError, StoreUnavailableError, zlib.error, ValueError, RecursionError) as error:
        raise CatalogMissingError(str(error)) from error


def _parse(data: bytes) -> dict[str, JsonValue]:
    text = zlib.decompressobj().decompress(data, _MAX_BYTES)
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("a catalog is a JSON object")  # noqa: TRY004  # a value of the wrong kind, not a type error
    return document
