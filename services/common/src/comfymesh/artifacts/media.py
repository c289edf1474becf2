"""What kind of file some bytes are, by how they begin. Names and headers are not believed. Pure.

Signatures as in the formats' specifications: PNG, JPEG, GIF, BMP, TIFF, RIFF (WebP, WAVE, AVI), ISO base media with its
brands (ISO/IEC 14496-12), Matroska (RFC 9559), Ogg (RFC 3533), FLAC (RFC 9639), MPEG audio frames and ID3v2, ZIP (its
APPNOTE).
"""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_ACTIVE = (
    *("text/html", "text/xml", "text/javascript", "image/svg"),
    *("application/xhtml", "application/xml", "application/javascript"),
)
"""Types in which scripts are run by whoever shows them. Beginnings: parameters may follow."""

_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/heif": ".heif",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-msvideo": ".avi",
    "application/zip": ".zip",
}


def sniff(head: bytes) -> str:
    """The media type that the first 12 bytes of a file show; UNKNOWN where they show none."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2:  # MPEG audio, layer III
        return "audio/mpeg"
    return next((kind for start, kind in _SIGNATURES if head.startswith(start)), UNKNOWN)


def settle(head: bytes, named: str) -> str:
    """The media type of a file that begins so and is said, or called, to be of another.

    What the bytes show counts. Where they show nothing, as those of texts and 3D models, what is said is taken, but for
    types that a browser would run.
    """
    shown = sniff(head)
    if shown != UNKNOWN or named.startswith(_ACTIVE):
        return shown
    return named


def suffix(media_type: str) -> str:
    """How names of files of this type end; `.bin` for others than `sniff` finds."""
    return _SUFFIXES.get(media_type, ".bin")
