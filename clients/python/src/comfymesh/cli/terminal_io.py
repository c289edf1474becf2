"""What only the terminal itself knows: whether it shows sixel pictures, and how large its characters are."""

from __future__ import annotations

import os
import re
import select
import struct
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 0.3
"""Seconds. A terminal on the same machine answers within a few milliseconds."""
_QUESTION = b"\x1b[c"
"""Primary device attributes (DA1), which every terminal emulator answers; 4 among them is sixel."""
_ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")
_LONGEST = 256
_SMALL_CELL = (6, 12)
"""Pixels of a character where the terminal keeps them to itself: smaller than usual, so that no picture grows out of
the rows that are kept for it."""


def ask_for_sixel(patience: float = PATIENCE) -> bool:
    """Whether the terminal says that it shows sixel pictures. It is left as it was found.

    Args:
        patience: Seconds to wait for the answer.
    """
    if sys.platform == "win32" or not _ours():
        return False
    with _silent(sys.stdin.fileno()) as source:
        # What was typed ahead belongs to whoever reads next, and can't be put back.
        if select.select([source], [], [], 0)[0]:
            return False
        os.write(sys.stdout.fileno(), _QUESTION)
        found = _ANSWER.search(_read(source, time.monotonic() + patience))
    return found is not None and b"4" in found[1].split(b";")


def cell_pixels() -> tuple[int, int]:
    """Width and height of a character in pixels."""
    if sys.platform == "win32":
        return _SMALL_CELL
    import fcntl  # noqa: PLC0415  # not on Windows
    import termios  # noqa: PLC0415

    try:
        answer = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (OSError, ValueError):
        return _SMALL_CELL
    rows, columns, width, height = struct.unpack("HHHH", answer)
    if not rows or not columns or width < columns or height < rows:
        return _SMALL_CELL
    return width // columns, height // rows


def _ours() -> bool:
    """Whether both ends are the terminal, and this process is in front: one behind would be stopped for asking."""
    try:
        both = os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())
        return both and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


@contextmanager
def _silent(source: int) -> Iterator[int]:
    """Has the terminal hand over each character at once, and not show it."""
    import termios  # noqa: PLC0415  # not on Windows
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(source)
    try:
        tty.setcbreak(source, termios.TCSANOW)
        yield source
    finally:
        termios.tcsetattr(source, termios.TCSANOW, before)


def _read(source: int, until: float) -> bytes:
    answer = b""
    while not _ANSWER.search(answer) and len(answer) < _LONGEST:
        left = until - time.monotonic()
        if left <= 0 or not select.select([source], [], [], left)[0]:
            break
        piece = os.read(source, _LONGEST)
        if not piece:
            break
        answer += piece
    return answer
