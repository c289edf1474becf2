"""Changes pictures, as ComfyUI's mask editor and previews need it. They are hostile: none that is large is opened."""

from __future__ import annotations

import io
import warnings

from PIL import Image

MOST_BYTES = 64 * 1024 * 1024
_MOST_PIXELS = 64_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What graph nodes write and browsers show. For some others Pillow starts programs: Ghostscript for EPS."""


class UnusableError(Exception):
    """It is no picture, or too large a one."""


def with_alpha_of(original: bytes, mask: bytes) -> bytes:
    """The original with the mask's alpha channel, as PNG.

    Raises:
        UnusableError: one of them is no picture.
    """
    masked = _open(original).convert("RGBA")
    masked.putalpha(_open(mask).convert("RGBA").getchannel("A").resize(masked.size))
    return _written(masked, "PNG")


def preview(data: bytes, asked: str) -> tuple[bytes, str]:
    """A picture in fewer bytes, and its media type; as `webp;90` or `jpeg;50`.

    Raises:
        UnusableError: it is no picture.
    """
    kind, _, quality = asked.partition(";")
    kind = kind if kind in {"webp", "jpeg"} else "webp"
    picture = _open(data)
    shown = picture.convert("RGB") if kind == "jpeg" else picture
    return _written(
        shown, kind.upper(), int(quality) if quality.isdecimal() and len(quality) < 4 else 90
    ), f"image/{kind}"


def channel(data: bytes, which: str) -> bytes:
    """Only the colours (`rgb`) of a picture, or only its transparency (`a`), as PNG.

    Raises:
        UnusableError: it is no picture.
    """
    picture = _open(data).convert("RGBA")
    if which == "rgb":
        return _written(picture.convert("RGB"), "PNG")
    shown = Image.new("RGBA", picture.size)
    shown.putalpha(picture.getchannel("A"))
    return _written(shown, "PNG")


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # looked at below, and more strictly
            picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        if picture.width * picture.height > _MOST_PIXELS:
            raise UnusableError(f"the picture has more than {_MOST_PIXELS} pixels")
        picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, EOFError) as error:
        raise UnusableError(f"it can't be read as a picture: {error}") from error
    return picture


def _written(picture: Image.Image, kind: str, quality: int = 90) -> bytes:
    written = io.BytesIO()
    try:
        picture.save(written, kind, quality=min(quality, 100))
    except (OSError, ValueError) as error:
        raise UnusableError(f"it can't be written as {kind}: {error}") from error
    return written.getvalue()
