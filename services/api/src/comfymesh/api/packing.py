"""The text of graphs, packed for the bus."""

from __future__ import annotations

import zlib

_MAX_TEXT_BYTES = 64 * 1024 * 1024
_WINDOW_BITS = 12
_MEMORY_LEVEL = 4


def pack(text: bytes) -> bytes:
    """A text, packed."""
    # The window of 4 KiB costs graphs next to nothing; the usual one would have to be cleared anew for each of them,
    # which takes ten times as long as to compress it.
    packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return packer.compress(text) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """The text again, of at most 64 MiB."""
    return zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES)
