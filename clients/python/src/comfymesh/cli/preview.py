"""Keeps rows above the live display for the latest preview, and draws it there: only when it is a new one.

The live display is drawn anew ten times a second, and would take a picture inside it along: that flickers, and is far
too much to send. So the picture stands above what is redrawn, and is drawn from the place where that begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.color import ColorSystem
from rich.segment import ControlType, Segment

from comfymesh.cli import graphics
from comfymesh.cli.terminals import Graphics

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, ConsoleOptions, RenderResult

    from comfymesh.cli.pictures import Picture
    from comfymesh.client import Preview

_TALLEST = 20
_WIDEST = 80
_BELOW = 8
"""Rows that the live display may need: what scrolls off the screen can't be drawn over."""
_SHORTEST = 3
_MOST_SIXELS = (640, 400)
"""Width and height in pixels. Each is written and sent: with the large characters of a fine screen a picture of noise
took two seconds."""
_INDENT = "\x1b[2C"
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_ERASE_ROW, _ERASE_BELOW = "\x1b[2K", "\x1b[J"


@dataclass(frozen=True, slots=True)
class Box:
    """Characters that a picture takes."""

    columns: int
    rows: int


def fit(picture: tuple[int, int], room: Box, cell: tuple[int, int]) -> Box:
    """The largest box within the room that has the picture's shape.

    Args:
        picture: Width and height in pixels.
        room: What there is.
        cell: Width and height of a character in pixels.
    """
    wanted = picture[0] / picture[1] * cell[1] / cell[0]
    rows = min(room.rows, max(1, round(room.columns / wanted)))
    return Box(max(1, min(room.columns, round(rows * wanted))), rows)


def _affordable(room: Box, cell: tuple[int, int]) -> Box:
    most = Box(_MOST_SIXELS[0] // cell[0], _MOST_SIXELS[1] // cell[1])
    return Box(max(1, min(room.columns, most.columns)), max(1, min(room.rows, most.rows)))


class PreviewArea:
    """The rows. They are opened with the first preview, and gone when it is closed.

    It is put in front of what the live display renders, and draws by control sequences, which take no room in it.

    Args:
        way: How pictures are shown.
        cell_pixels: Answers width and height of a character in pixels.
        colours: What Rich found out: `truecolor`, `256` or less.
        number: Under which kitty may keep its pictures: this one and the next.
    """

    def __init__(
        self, way: Graphics, cell_pixels: Callable[[], tuple[int, int]], colours: str | None, number: int
    ) -> None:
        self._way = way
        self._cell_pixels = cell_pixels
        self._colours = ColorSystem.EIGHT_BIT if colours == "256" else ColorSystem.TRUECOLOR
        self._numbers = (number, number + 1)
        self._wanted: Preview | None = None
        self._shown: Preview | None = None
        self._screen = (0, 0)
        self._rows = 0
        self._box = Box(0, 0)

    def show(self, preview: Preview | None) -> None:
        """Has the preview drawn with the next refresh; None has the area closed."""
        self._wanted = preview

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws what is new, from the first column of the row below the area."""
        del options
        drawn = self.draw(console.size.width, console.size.height)
        if drawn:
            yield Segment(drawn, None, [(ControlType.CURSOR_UP, 0)])

    def draw(self, width: int, height: int) -> str:
        """What the terminal is to be sent; empty where nothing is new.

        Args:
            width: Columns of the terminal.
            height: Its rows.
        """
        if self._wanted is None:
            return self._close()
        if self._wanted is self._shown and self._screen == (width, height):
            return ""
        self._shown = self._wanted
        if self._screen != (width, height):
            # What a terminal does to its rows when it is resized nobody can tell: begin anew, below.
            self._screen, self._rows = (width, height), 0
        rows = self._rows or min(_TALLEST, height - _BELOW)
        if rows < _SHORTEST:
            return ""
        return self._drawn(self._shown, Box(min(_WIDEST, width - 4), rows))

    def _drawn(self, preview: Preview, room: Box) -> str:
        from comfymesh.cli.pictures import UnusableError, open_picture  # noqa: PLC0415  # Pillow only where pictures come

        try:
            picture = open_picture(preview.data)
        except UnusableError:
            return ""
        cell = self._cell_pixels()
        box = fit(picture.size, _affordable(room, cell) if self._way is Graphics.SIXEL else room, cell)
        opened = "" if self._rows else "\n" * box.rows
        self._rows = self._rows or box.rows
        erased = "" if box == self._box or opened else self._erased()
        self._box = box
        return f"{opened}{_SAVE}\x1b[{self._rows}A{erased}{_INDENT}{self._picture(picture, box, cell)}{_RESTORE}"

    def _picture(self, picture: Picture, box: Box, cell: tuple[int, int]) -> str:
        width, height = box.columns * cell[0], box.rows * cell[1]
        match self._way:
            case Graphics.KITTY:
                # The next one is there before the last one goes: nothing flickers.
                self._numbers = self._numbers[::-1]
                new, old = self._numbers
                png = picture.within(width, height).written("PNG")
                return graphics.kitty(png, new, box.columns, box.rows) + graphics.kitty_forget(old)
            case Graphics.ITERM:
                return graphics.iterm(picture.within(width, height).written("JPEG"), box.columns, box.rows)
            case Graphics.SIXEL:
                palette, pixels = picture.scaled(width, height).indexed()
                return graphics.sixel(palette, pixels, width)
            case Graphics.BLOCKS:
                small = picture.scaled(box.columns, 2 * box.rows)
                return f"\r\n{_INDENT}".join(graphics.blocks(small.pixels(), box.columns, self._colours))

    def _erased(self) -> str:
        return "\r\n".join([_ERASE_ROW] * self._rows) + f"\r\x1b[{self._rows - 1}A" * (self._rows > 1)

    def _close(self) -> str:
        if self._shown is None:
            return ""
        drawn = self._way is Graphics.KITTY and self._box.rows
        forgotten = graphics.kitty_forget(self._numbers[0]) if drawn else ""
        erased = f"\x1b[{self._rows}A{_ERASE_BELOW}" if self._rows else ""
        self._shown, self._rows, self._box = None, 0, Box(0, 0)
        return forgotten + erased
