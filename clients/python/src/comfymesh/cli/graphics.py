"""Pictures as what terminals understand. Pure: pictures go in, escape sequences come out.

Each is drawn from the cursor to the right and downwards; where the cursor is afterwards depends on the terminal.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from rich.color import Color
from rich.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.color import ColorSystem

_CHUNK = 4096
"""Characters of kitty's pieces, at most."""
_BAND = 6
"""Rows of pixels that a line of sixels has."""
_SAME = re.compile(r"(.)\1{3,}", re.DOTALL)


def kitty(png: bytes, number: int, columns: int, rows: int) -> str:
    """A picture in kitty's protocol. The terminal is told to answer nothing and to leave the cursor.

    Args:
        png: The picture as a PNG file.
        number: Under which it can be forgotten again, 1 to 2^32-1.
        columns: How many characters wide it is shown.
        rows: How many high.
    """
    text = base64.b64encode(png).decode()
    pieces = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    keys = [f"a=T,f=100,i={number},p=1,c={columns},r={rows},C=1,q=2,", *[""] * (len(pieces) - 1)]
    more = [*[1] * (len(pieces) - 1), 0]
    return "".join(f"\x1b_G{key}m={left};{piece}\x1b\\" for key, left, piece in zip(keys, more, pieces, strict=True))


def kitty_forget(number: int) -> str:
    """Takes a picture off kitty's screen and out of its memory."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"


def iterm(file: bytes, columns: int, rows: int) -> str:
    """A picture in iTerm2's protocol.

    Args:
        file: The picture as a JPEG or PNG file.
        columns: How many characters wide it is shown.
        rows: How many high.
    """
    shape = f"size={len(file)};width={columns};height={rows};preserveAspectRatio=1;inline=1"
    return f"\x1b]1337;File={shape}:{base64.b64encode(file).decode()}\x07"


def sixel(palette: Sequence[int], pixels: bytes, width: int) -> str:
    """A picture as sixels.

    Args:
        palette: Red, green and blue of each colour, 0 to 255.
        pixels: For each pixel the number of its colour, row by row.
        width: Pixels of a row.
    """
    used = sorted(set(pixels))
    colours = "".join(f"#{number};2;{_hundredths(palette, number)}" for number in used)
    size = f'"1;1;{width};{len(pixels) // width}'
    bands = (pixels[start : start + _BAND * width] for start in range(0, len(pixels), _BAND * width))
    return f"\x1bP0;1q{size}{colours}{'-'.join(_band(band, width) for band in bands)}\x1b\\"


def blocks(pixels: bytes, width: int, colours: ColorSystem) -> list[str]:
    """A picture as lines of characters, each of which shows two pixels, one above the other.

    Args:
        pixels: Red, green and blue of each pixel, row by row; an even number of rows.
        width: Pixels of a row.
        colours: Which of them the terminal has.
    """
    stride = 3 * width
    return [
        "".join(_runs(pixels[start : start + stride], pixels[start + stride : start + 2 * stride], colours))
        for start in range(0, len(pixels), 2 * stride)
    ]


def _hundredths(palette: Sequence[int], number: int) -> str:
    return ";".join(str(round(part * 100 / 255)) for part in palette[3 * number : 3 * number + 3])


def _band(band: bytes, width: int) -> str:
    """Each colour draws its pixels over the whole width, then the next begins at the left again."""
    masks: dict[int, list[int]] = {}
    for at, colour in enumerate(band):
        row, column = divmod(at, width)
        if colour not in masks:
            masks[colour] = [0] * width
        masks[colour][column] |= 1 << row
    return "$".join(f"#{colour}{_packed(mask)}" for colour, mask in masks.items())


def _packed(mask: list[int]) -> str:
    text = "".join(chr(63 + bits) for bits in mask).rstrip("?")
    return _SAME.sub(lambda found: f"!{len(found[0])}{found[1]}", text)


def _runs(above: bytes, below: bytes, colours: ColorSystem) -> Iterator[str]:
    """Half blocks of one row; neighbours of the same two colours share a sequence."""
    width = len(above) // 3
    start = 0
    for at in range(1, width + 1):
        here = slice(3 * start, 3 * start + 3)
        next_one = slice(3 * at, 3 * at + 3)
        if at == width or above[here] != above[next_one] or below[here] != below[next_one]:
            style = Style(color=Color.from_rgb(*above[here]), bgcolor=Color.from_rgb(*below[here]))
            yield style.render("▀" * (at - start), color_system=colours)
            start = at
