"""Binary messages of the socket (ComfyUI protocol notes, section 7.4)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4
_JPEG, _PNG = "image/jpeg", "image/png"
_FORMATS = {_JPEG: 1, _PNG: 2}


def preview_frame(picture: bytes, media_type: str = _JPEG) -> bytes:
    """Returns a preview for clients that did not ask for metadata."""
    return struct.pack(">II", _PREVIEW, _FORMATS.get(media_type, 1)) + picture


def preview_frame_with_metadata(picture: bytes, metadata: Mapping[str, str | None], media_type: str = _JPEG) -> bytes:
    """Returns a preview that says which prompt and graph node it belongs to."""
    written = json.dumps({**metadata, "image_type": media_type}, separators=(",", ":")).encode()
    return struct.pack(">II", _PREVIEW_WITH_METADATA, len(written)) + written + picture


def text_frame(node_id: str, text: str) -> bytes:
    """Returns a line of text that a graph node shows while it runs."""
    encoded = node_id.encode()
    return struct.pack(">II", _TEXT, len(encoded)) + encoded + text.encode()
