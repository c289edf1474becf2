"""What kind of file some bytes are."""

from __future__ import annotations

import pytest

from comfymesh.artifacts.media import UNKNOWN, settle, sniff, suffix


@pytest.mark.parametrize(
    ("head", "kind", "ending"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png", ".png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg", ".jpg"),
        (b"GIF89a", "image/gif", ".gif"),
        (b"GIF8", UNKNOWN, ".bin"),
        (b"II*\0", "image/tiff", ".tiff"),
        (b"RIFF\0\0\0\0WEBP", "image/webp", ".webp"),
        (b"RIFF\0\0\0\0WAVE", "audio/wav", ".wav"),
        (b"RIFF\0\0\0\0????", UNKNOWN, ".bin"),
        (b"\0\0\0\x18ftypisom", "video/mp4", ".mp4"),
        (b"\0\0\0\x18ftypavif", "image/avif", ".avif"),
        (b"\0\0\0\x18ftypM4A ", "audio/mp4", ".m4a"),
        (b"\xff\xfb\x90", "audio/mpeg", ".mp3"),
        (b"\xff\xf1\x50", UNKNOWN, ".bin"),
        (b"ID3", "audio/mpeg", ".mp3"),
        (b"\x1aE\xdf\xa3", "video/webm", ".webm"),
        (b"PK\x03\x04\x14\0", "application/zip", ".zip"),
        (b"PK\x05\x06", "application/zip", ".zip"),
        (b"\x80\x05\x95", UNKNOWN, ".bin"),
        (b"<svg>", UNKNOWN, ".bin"),
        (b"\xff", UNKNOWN, ".bin"),
        (b"", UNKNOWN, ".bin"),
    ],
)
def test_a_media_type_is_what_the_bytes_show(head: bytes, kind: str, ending: str) -> None:
    assert (sniff(head), suffix(kind)) == (kind, ending)


@pytest.mark.parametrize(
    ("head", "named", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "text/html", "image/png"),
        (b"\xff\xd8\xff", "image/png", "image/jpeg"),
        (b"PK\x03\x04", "image/png", "application/zip"),
        (b"<script>", "text/html; charset=utf-8", UNKNOWN),
        (b"<svg onload=x>", "image/svg+xml", UNKNOWN),
        (b"glTF", "model/gltf-binary", "model/gltf-binary"),
        (b"hello", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
    ],
)
def test_what_is_said_counts_where_bytes_show_nothing_and_nothing_would_run(head: bytes, named: str, kind: str) -> None:
    assert settle(head, named) == kind
