"""Graphs as they are stored: packed, and apart where they are too large for a message."""

from __future__ import annotations

import zlib

from comfymesh.artifacts.content import Content
from comfymesh.artifacts.store import BlobStore, read_all
from comfymesh.wire.v1 import spec_pb2

_INLINE_BYTES = 1024 * 1024
_MAX_TEXT_BYTES = 64 * 1024 * 1024
_WINDOW_BITS = 12
_MEMORY_LEVEL = 4


async def pack(text: bytes, store: BlobStore, tenant: str) -> spec_pb2.Spec:
    """A spec that holds the text of a graph, or says where in the store it is."""
    packed = _packed(text)
    if len(packed) <= _INLINE_BYTES:
        return spec_pb2.Spec(graph_zlib=packed)
    with Content.of(packed) as content:
        await store.put(tenant, content)
        return spec_pb2.Spec(graph_blob=spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes))


async def text_of(spec: spec_pb2.Spec, store: BlobStore, tenant: str) -> str:
    """The text of the graph that a spec holds.

    Raises:
        BlobMissingError, StoreUnavailableError: the store has lost it, or does not answer.
    """
    packed = spec.graph_zlib
    if spec.HasField("graph_blob"):
        packed = await read_all(store, tenant, spec.graph_blob.sha256, spec.graph_blob.size_bytes)
    return zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES).decode()


def _packed(text: bytes) -> bytes:
    # The window of 4 KiB costs graphs next to nothing; the usual one would have to be cleared anew for each of them,
    # which takes ten times as long as to compress it.
    packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return packer.compress(text) + packer.flush()
