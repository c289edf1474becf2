"""Saves artifacts: under names that can't do harm, and never over another file."""

from __future__ import annotations

import filecmp
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_NAME = 180
"""Bytes; file systems take 255, which leaves room for a number."""

# Names that Windows gives to devices, whatever their suffix.
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))})
_FORBIDDEN = frozenset('<>:"|?*')


def safe_name(filename: str) -> str:
    """A name that is a plain file of the directory it is put into, on every system.

    Args:
        filename: The name as a server tells it, possibly hostile.

    Returns:
        Its last part, without separators, control and format characters, leading or trailing dots, or device names.
    """
    # Not printable are controls, format characters such as the one that turns the reading direction, and surrogates.
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join("_" if char in _FORBIDDEN else char for char in last if char.isprintable())
    bare = kept.strip(" .") or "artifact"
    if bare.split(".", 1)[0].rstrip(" ").upper() in _DEVICES:
        bare = f"_{bare}"
    return _shorten(bare)


def save(data: bytes, directory: Path, filename: str) -> Path:
    """Writes a new file, or finds the one that holds the same bytes already.

    Args:
        data: What to write.
        directory: Where; made when it does not exist.
        filename: The wanted name. Made safe; numbered when another file has it.

    Returns:
        Path of the file.

    Raises:
        OSError: The file can't be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for path in _candidates(directory, safe_name(filename)):
        if _create(path, data) or _holds(path, data):
            return path
    raise AssertionError  # the candidates never end


def settle(part: Path, directory: Path, filename: str) -> Path:
    """Gives a file that is complete its name, or finds the one that holds the same bytes already.

    Args:
        part: The file, in `directory`. It is gone afterwards.
        directory: Where.
        filename: The wanted name. Made safe; numbered when another file has it.

    Returns:
        Path of the file.

    Raises:
        OSError: That can't be done.
    """
    for path in _candidates(directory, safe_name(filename)):
        try:
            # Other than a renaming, a link never takes the place of a file.
            path.hardlink_to(part)
        except FileExistsError:
            if path.is_symlink() or not path.is_file() or not filecmp.cmp(path, part, shallow=False):
                continue
        part.unlink()
        return path
    raise AssertionError  # the candidates never end


def _shorten(name: str) -> str:
    path = Path(name)
    suffix = path.suffix if len(path.suffix.encode()) <= 20 else ""
    stem = name.removesuffix(suffix).encode()[: _LONGEST_NAME - len(suffix.encode())]
    return stem.decode(errors="ignore") + suffix


def _candidates(directory: Path, name: str) -> Iterator[Path]:
    path = directory / name
    yield path
    for number in count(1):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def _create(path: Path, data: bytes) -> bool:
    """Writes a file that did not exist; whether it did so. Follows no symbolic link."""
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def _holds(path: Path, data: bytes) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != len(data):
        return False
    return path.read_bytes() == data
