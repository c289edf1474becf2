"""Tables without lines, whose names can be read and copied in any terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

Cell = str | Text

_GAP = 2
_TEXTS = frozenset({"GPUS", "MESSAGE", "WHAT", "WHAT TO DO", "WHY", "WHY NO MORE", "LAST ERROR"})
"""Headings of columns that may be shortened: nobody copies what stands in them."""
_SHORTEST = 16
_NOTHING = frozenset({"", "-", "none"})


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and a cell for each row."""

    heading: str
    cells: list[Cell] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Of the widest, in places of a terminal."""
        return max(cell_len(str(text)) for text in (self.heading, *self.cells))

    @property
    def is_empty(self) -> bool:
        """Whether all its rows say is that there is nothing."""
        return all(str(cell) in _NOTHING for cell in self.cells)


class PlainTable:
    """Rows below headings. Print it with `crop=False`: half a name is none, so lines may be wider than the terminal."""

    def __init__(self, *headings: str) -> None:
        self._columns = [Column(heading) for heading in headings]

    def add_row(self, *cells: Cell) -> None:
        """A row, with a cell for each heading."""
        for column, cell in zip(self._columns, cells, strict=True):
            column.cells.append(cell)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines."""
        fitted = fit(self._columns, options.max_width)
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim")
        for column, width in fitted:
            table.add_column(column.heading, width=width, no_wrap=True, overflow="ellipsis")
        for row in zip(*(column.cells for column, _ in fitted), strict=True):
            table.add_row(*row)
        yield from console.render(table, options.update(width=_sum(width for _, width in fitted)))


class Folded:
    """Something whose lines go on in the next one where the terminal ends, for those who draw the whole of it.

    A terminal does so by itself with what is printed. What is drawn on a screen would be cut there.
    """

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines."""
        for line in Segment.split_lines(console.render(self._content, options)):
            end = cell_len("".join(segment.text for segment in line).rstrip())
            for part in Segment.divide(line, [*range(options.max_width, end, options.max_width), end]):
                yield from part
                yield Segment.line()


def fit(columns: list[Column], room: int) -> list[tuple[Column, int]]:
    """Which columns are shown in so many places, and how wide.

    Where there is no room for all, those with nothing in them are left out, then texts are shortened. Nothing else is.
    The first stays: it names each row, and somebody may have named it "none".
    """
    if _sum(column.width for column in columns) <= room:
        return [(column, column.width) for column in columns]
    shown = [columns[0], *(column for column in columns[1:] if not column.is_empty)]
    texts = [column for column in shown if column.heading in _TEXTS]
    left = room - _sum(column.width for column in shown if column not in texts)
    most = max(_SHORTEST, left // len(texts) - _GAP) if texts else 0
    return [(column, min(column.width, most) if column in texts else column.width) for column in shown]


def _sum(widths: Iterable[int]) -> int:
    return sum(width + _GAP for width in widths)
