"""Opens previews. They are hostile: no large one is opened, and only in formats that ComfyUI sends."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 4 * 1024 * 1024
MOST_PIXELS = 4_000_000
"""ComfyUI's previews have at most 512 pixels a side by default, some 50 KiB."""
_FORMATS = ("JPEG", "PNG", "WEBP")
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, struct.error, OverflowError)
"""What Pillow raises for what it can't read."""
_COLOURS = 128


class UnusableError(Exception):
    """It is no picture, or too large a one."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was opened, and is safe to work with.

    Attributes:
        image: In red, green and blue.
    """

    image: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size

    def within(self, width: int, height: int) -> Picture:
        """The same with at most so many pixels a side; never larger than it was."""
        share = min(width / self.image.width, height / self.image.height, 1.0)
        return self.scaled(max(1, round(self.image.width * share)), max(1, round(self.image.height * share)))

    def scaled(self, width: int, height: int) -> Picture:
        """The same with exactly so many pixels."""
        return Picture(self.image.resize((width, height)))

    def written(self, kind: str) -> bytes:
        """As a file: `PNG` or `JPEG`, packed quickly."""
        file = io.BytesIO()
        self.image.save(file, kind, quality=80, compress_level=1)
        return file.getvalue()

    def pixels(self) -> bytes:
        """Red, green and blue of each pixel, row by row."""
        return self.image.tobytes()

    def indexed(self) -> tuple[Sequence[int], bytes]:
        """Red, green and blue of each of at most 128 colours; and for each pixel the number of its colour."""
        image = self.image.quantize(_COLOURS)
        return image.getpalette() or (), image.tobytes()


def open_picture(data: bytes) -> Picture:
    """Reads a picture.

    Args:
        data: JPEG, PNG or WebP.

    Raises:
        UnusableError: It is none of them, or has more than `MOST_BYTES` or `MOST_PIXELS`.
    """
    if len(data) > MOST_BYTES:
        raise UnusableError(f"the picture has more than {MOST_BYTES} bytes")
    try:
        return Picture(_read(data))
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        raise UnusableError(f"it can't be read as a picture: {error}") from error


def _read(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on a terminal they would stand in the middle of the display
        image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise UnusableError(f"the picture has more than {MOST_PIXELS} pixels")
        return image.convert("RGB")
