"""Which kind of file bytes are. What a caller or ComfyUI says of them is not believed. Pure."""

from __future__ import annotations

UNKNOWN = "application/octet-stream"
"""What is not known is not shown either: browsers save it."""

# From each format's own description. None is a text, since a text may be a page with a script in it.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}


def sniff(head: bytes) -> str:
    """The media type that the first bytes of a file show."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return "image/avif" if head[8:12] == b"avif" else "video/mp4"
    return next((kind for start, kind in _SIGNATURES if head.startswith(start)), UNKNOWN)
