"""Previews beside the live display, on a terminal that is a library's."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from dataclasses import dataclass, field
from random import Random

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.color import ColorSystem
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from comfymesh.cli import graphics
from comfymesh.cli.pictures import MOST_BYTES, UnusableError, open_picture
from comfymesh.cli.preview import Box, PreviewArea, fit
from comfymesh.cli.terminals import Graphics
from comfymesh.client import Preview

CELL = (10, 20)
NUMBER = 70
RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(width: int = 64, height: int = 64, colour: tuple[int, int, int] = RED, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()


def preview(data: bytes) -> Preview:
    return Preview(1, "3", "image/png", data)


def area(way: Graphics) -> PreviewArea:
    return PreviewArea(way, lambda: CELL, "truecolor", NUMBER)


@dataclass
class Terminal:
    """A screen with a live display of two lines, below earlier output."""

    way: Graphics = Graphics.BLOCKS
    width: int = 60
    height: int = 30
    lines: str = "headline\nbars"
    earlier: int = 2
    sent: str = ""
    console: Console = field(init=False)

    def __post_init__(self) -> None:
        self.screen = pyte.Screen(self.width, self.height)
        self.stream = pyte.Stream(self.screen)
        self.file = io.StringIO()
        self.console = Console(
            file=self.file,
            force_terminal=True,
            width=self.width,
            height=self.height,
            color_system="truecolor",
            legacy_windows=False,
            _environ={},
        )
        self.area = area(self.way)
        self.live = Live(
            console=self.console, get_renderable=lambda: Group(self.area, Text(self.lines)), auto_refresh=False
        )
        self.console.print("\n".join(f"earlier {n}" for n in range(self.earlier)))
        self.live.start(refresh=True)

    def show(self, data: bytes | None) -> str:
        """What was sent for one refresh."""
        self.area.show(preview(data) if data is not None else None)
        self.live.refresh()
        return self.flush()

    def flush(self) -> str:
        sent = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        self.stream.feed(sent.replace("\n", "\r\n"))
        return sent

    def close(self) -> None:
        self.area.show(None)
        self.live.stop()
        self.flush()

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def colours_at(self, row: int, column: int) -> tuple[str, str]:
        cell = self.screen.buffer[row][column]
        return cell.fg, cell.bg


@pytest.mark.parametrize("earlier", [2, 29, 100])
def test_the_picture_stands_above_the_display_and_leaves_no_trace(earlier: int) -> None:
    terminal = Terminal(earlier=earlier)
    terminal.show(picture())
    assert terminal.text[-2:] == ["headline", "bars"]
    assert terminal.text[-22:-2] == ["  " + "▀" * 40] * 20
    before = terminal.text[-23]
    assert before == f"earlier {earlier - 1}"
    terminal.lines = "headline\nbars\nsteps"
    terminal.show(picture(colour=BLUE))
    assert terminal.text[-3:] == ["headline", "bars", "steps"]
    assert terminal.text[-24:-3] == [before, *["  " + "▀" * 40] * 20]
    terminal.close()
    assert terminal.text[-4:] == [before, "headline", "bars", "steps"]


def test_blocks_show_two_pixels_each() -> None:
    terminal = Terminal()
    image = Image.new("RGB", (40, 40), RED)
    image.paste(BLUE, (0, 1, 40, 2))
    file = io.BytesIO()
    image.save(file, "PNG")
    terminal.show(file.getvalue())
    assert terminal.colours_at(terminal.earlier, 2) == ("ff0000", "0000ff")
    assert terminal.colours_at(terminal.earlier + 1, 2) == ("ff0000", "ff0000")


def test_a_picture_is_sent_once_however_often_the_display_is_drawn() -> None:
    terminal = Terminal()
    terminal.area.show(preview(picture()))
    for expected in (True, False, False):
        terminal.live.refresh()
        assert ("▀" in terminal.flush()) is expected


def test_a_smaller_picture_leaves_nothing_of_the_one_before() -> None:
    terminal = Terminal()
    terminal.show(picture(64, 64))
    terminal.show(picture(16, 64))
    assert terminal.text[-22:-2] == ["  " + "▀" * 10] * 20
    terminal.show(picture(64, 16))
    assert terminal.text[-2:] == ["headline", "bars"]
    assert "".join(terminal.text).count("▀") == 56 * 7
    terminal.close()
    assert terminal.text == ["earlier 0", "earlier 1", "headline", "bars"]


def test_a_terminal_that_is_too_low_shows_none() -> None:
    terminal = Terminal(height=10)
    assert "▀" not in terminal.show(picture())
    assert terminal.text == ["earlier 0", "earlier 1", "headline", "bars"]


def test_after_a_resize_it_begins_anew_below() -> None:
    here = area(Graphics.KITTY)
    here.show(preview(picture()))
    assert here.draw(60, 30).startswith("\n" * 20)
    assert here.draw(60, 30) == ""
    assert here.draw(60, 20).startswith("\n" * 12)
    assert here.draw(60, 9) == ""
    here.show(None)
    assert "a=d,d=I" in here.draw(60, 9), "what kitty keeps is forgotten though there are no rows any more"


def test_kitty_gets_the_next_one_before_the_last_one_goes_and_answers_nothing() -> None:
    terminal = Terminal(Graphics.KITTY)
    numbers = []
    for _ in range(3):
        found = re.findall(r"\x1b_G([^;\x1b]*)(?:;([^\x1b]*))?\x1b\\", terminal.show(picture()))
        keys = [dict(part.split("=") for part in control.split(",")) for control, _ in found]
        file = b"".join(base64.b64decode(data) for _, data in found[:-1])
        assert Image.open(io.BytesIO(file)).size == (64, 64)
        assert (keys[0]["a"], keys[0]["C"], keys[0]["c"], keys[0]["r"]) == ("T", "1", "40", "20")
        assert keys[-1]["a"] == "d"
        assert keys[0]["q"] == keys[-1]["q"] == "2"
        assert keys[0]["i"] != keys[-1]["i"]
        numbers.append(keys[0]["i"])
    assert numbers[0] == numbers[2] != numbers[1]


def test_kitty_takes_pieces_of_at_most_4096() -> None:
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", graphics.kitty(bytes(10_000), 1, 2, 3))
    assert [len(data) for _, data in pieces] == [4096, 4096, 4096, 1048]
    assert [control.rpartition("m=")[2] for control, _ in pieces] == ["1", "1", "1", "0"]


def test_iterm_gets_a_file_and_its_shape() -> None:
    sent = Terminal(Graphics.ITERM).show(picture(1000, 1000))
    found = re.search(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07", sent)
    assert found is not None
    keys = dict(part.split("=") for part in found[1].split(";"))
    file = base64.b64decode(found[2])
    assert keys == {
        "size": str(len(file)),
        "width": "40",
        "height": "20",
        "preserveAspectRatio": "1",
        "inline": "1",
    }
    assert Image.open(io.BytesIO(file)).size == (400, 400)


def sixels(text: str) -> Image.Image:
    """The picture of a sixel sequence."""
    shape = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', text)
    assert shape is not None
    image = Image.new("RGB", (int(shape[1]), int(shape[2])))
    colours: dict[str, tuple[int, ...]] = {}
    x = y = 0
    colour = ""
    for number, defined, count, sixel, move in re.findall(r"#(\d+)(;2;[\d;]+)?|(?:!(\d+))?([?-~])|([$-])", shape[3]):
        if defined:
            colours[number] = tuple(round(int(part) * 255 / 100) for part in defined[3:].split(";"))
        elif number:
            colour = number
        elif move:
            x, y = 0, y + 6 * (move == "-")
        else:
            end = x + int(count or 1)
            for row in (row for row in range(6) if ord(sixel) - 63 >> row & 1):
                image.paste(colours[colour], (x, y + row, end, y + row + 1))  # type: ignore[arg-type]  # red, green, blue
            x = end
    return image


@given(
    st.integers(1, 24),
    st.integers(1, 20),
    st.lists(st.sampled_from([0, 51, 102, 204, 255]), min_size=12, max_size=12),
    st.integers(0, 1000),
)
@settings(max_examples=40)
def test_sixels_hold_every_pixel(width: int, height: int, palette: list[int], seed: int) -> None:
    pixels = bytes(Random(seed).choices(range(4), k=width * height))
    drawn = sixels(graphics.sixel(palette, pixels, width))
    expected = b"".join(bytes(palette[3 * number : 3 * number + 3]) for number in pixels)
    assert drawn.size == (width, height)
    assert drawn.tobytes() == expected


def test_sixel_pictures_have_exactly_the_pixels_of_their_rows() -> None:
    sent = Terminal(Graphics.SIXEL).show(picture(100, 50))
    found = re.search(r"\x1bP.*?\x1b\\", sent, re.DOTALL)
    assert found is not None
    # 56 of 60 columns; so many rows that the shape stays.
    assert sixels(found[0]).size == (56 * CELL[0], 14 * CELL[1])


def test_sixel_pictures_stay_small_on_screens_with_large_characters() -> None:
    shown = PreviewArea(Graphics.SIXEL, lambda: (40, 80), "truecolor", NUMBER)
    shown.show(preview(picture(512, 512)))
    found = re.search(r"\x1bP.*?\x1b\\", shown.draw(200, 60), re.DOTALL)
    assert found is not None
    assert sixels(found[0]).size == (400, 400)


def test_terminals_with_256_colours_get_those() -> None:
    assert graphics.blocks(bytes(6), 1, ColorSystem.EIGHT_BIT) == ["\x1b[38;5;16;48;5;16m▀\x1b[0m"]


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 80), st.integers(1, 40), st.integers(1, 20))
def test_a_box_never_leaves_the_room(width: int, height: int, columns: int, rows: int, cell: int) -> None:
    box = fit((width, height), Box(columns, rows), (cell, 2 * cell))
    assert 1 <= box.columns <= columns
    assert 1 <= box.rows <= rows


def png_of(width: int, height: int) -> bytes:
    """A PNG that says so many pixels in its head, and has a long row of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"jpeg",
        picture()[:60],
        png_of(60_000, 60_000),
        png_of(2**31 - 1, 1),
        png_of(2001, 2000),
        bytes(MOST_BYTES + 1),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"GIF89a" + bytes(100),
    ],
)
@pytest.mark.parametrize("way", Graphics)
def test_what_is_no_picture_or_a_bomb_draws_nothing(data: bytes, way: Graphics) -> None:
    terminal = Terminal(way)
    terminal.show(data)
    terminal.close()
    assert terminal.text == ["earlier 0", "earlier 1", "headline", "bars"]


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.integers(0, 2000), st.binary(min_size=1, max_size=8))
def test_damaged_pictures_are_shown_or_unusable_and_nothing_else(kind: str, at: int, noise: bytes) -> None:
    data = picture(kind=kind)
    at %= len(data)
    try:
        shown = open_picture(data[:at] + noise + data[at + len(noise) :])
    except UnusableError:
        return
    assert shown.size[0] * shown.size[1] <= 4_000_000
