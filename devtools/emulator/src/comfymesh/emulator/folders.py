"""The folders of an instance: inputs, outputs, temporary files. Names from outside never leave them."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from comfymesh.emulator.settings import Settings

_ANNOTATIONS = {" [input]": "input", " [output]": "output", " [temp]": "temp"}


@dataclass(frozen=True, slots=True)
class SaveTarget:
    """Where a node saves files.

    Attributes:
        directory: The directory, made already.
        stem: Start of the names, the last part of the prefix.
        subfolder: Directory relative to the folder, with ``/``.
        counter: First number to use.
    """

    directory: Path
    stem: str
    subfolder: str
    counter: int

    def name(self, index: int, suffix: str) -> str:
        """Returns the name of one file, such as ``tiny_00003_.png`` (ComfyUI protocol notes, section 8.3)."""
        return f"{self.stem}_{self.counter + index:05}_{suffix}"


class Folders:
    """The three folders of an instance, by type name ``input``, ``output`` and ``temp``."""

    def __init__(self, settings: Settings) -> None:
        base = settings.base_directory
        self.roots = {
            "input": settings.input_directory or base / "input",
            "output": settings.output_directory or base / "output",
            "temp": (settings.temp_directory or base) / "temp",
        }

    def prepare(self) -> None:
        """Makes the folders; temporary files of an earlier run go, as on every start of ComfyUI."""
        self.wipe_temp()
        for root in self.roots.values():
            root.mkdir(parents=True, exist_ok=True)

    def wipe_temp(self) -> None:
        """Removes all temporary files, whoever made them: of another instance too that has the same folder."""
        shutil.rmtree(self.roots["temp"], ignore_errors=True)

    def inside(self, folder: str, *parts: str) -> Path | None:
        """Returns a path below a folder, or None when it would leave it."""
        root = self.roots[folder].resolve()
        path = Path(root, *parts).resolve()
        return path if path == root or root in path.parents else None

    def find(self, name: str, folder: str = "input") -> Path | None:
        """Finds an existing file by its name, which may end in ``[output]`` and the like."""
        plain, folder = split_annotation(name, folder)
        path = self.inside(folder, plain)
        return path if path is not None and path.is_file() else None

    def inputs(self) -> list[str]:
        """Returns the names of the files at the top of the input folder, sorted."""
        return sorted(path.name for path in self.roots["input"].iterdir() if path.is_file())

    def target(self, prefix: str, folder: str = "output") -> SaveTarget:
        """Chooses where files with this prefix go, and makes the directory.

        Raises:
            ValueError: The prefix leads out of the folder.
        """
        path = self.inside(folder, prefix)
        if path is None or path == self.roots[folder].resolve():
            raise ValueError(f"Saving image outside the output folder is not allowed: {prefix}")
        directory, stem = path.parent, path.name
        directory.mkdir(parents=True, exist_ok=True)
        subfolder = directory.relative_to(self.roots[folder].resolve()).as_posix()
        return SaveTarget(directory, stem, "" if subfolder == "." else subfolder, _next_counter(directory, stem))


def split_annotation(name: str, folder: str) -> tuple[str, str]:
    """Splits ``photo.png [output]`` into name and folder; without an annotation the given folder stays."""
    for ending, annotated in _ANNOTATIONS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), annotated
    return name, folder


def _next_counter(directory: Path, stem: str) -> int:
    pattern = re.compile(re.escape(stem) + r"_(\d+)_?\.")
    found = (pattern.match(entry.name) for entry in directory.iterdir())
    return max((int(match[1]) for match in found if match), default=0) + 1
