"""Reads the outputs of a prompt out of its history. Pure; every name in there comes from graph nodes and is untrusted.

History holds, by graph node, lists under keys that each node class chooses: `images`, `gifs`, `video`, `audio`,
`3d`, `text`, `animated` and any other (ComfyUI protocol notes, section 5.2). What looks like a file is taken for one
whatever its key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from mimetypes import MimeTypes
from typing import TYPE_CHECKING, Any

from comfymesh.agent.comfyui.protocol import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_NAME = 255
_MAX_SUBFOLDER = 1_024
_MAX_TEXT = 1 << 20
_MAX_DEPTH = 4
_FOLDERS = frozenset({"output", "temp", "input"})
_ANNOTATION = re.compile(r" \[(?:input|output|temp)\]$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class OutputKind(StrEnum):
    """What an output is, judged by its name's media type, else by the key it was found under."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL_3D = "model_3d"
    TEXT = "text"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that a graph node wrote or shows.

    Attributes:
        graph_node: The graph node.
        kind: What it is.
        filename: Name without directories, safe to use as a file name.
        subfolder: Relative folder below `type`, without `..`; empty for the folder itself.
        type: `output`, `temp` (previews, gone with the process) or `input` (shown, not made).
        index: Position among the files of this graph node, from 0.
        key: The key it was found under, such as `images` or `gifs`.
    """

    graph_node: str
    kind: OutputKind
    filename: str
    subfolder: str
    type: str
    index: int
    key: str = ""

    @property
    def media_type(self) -> str:
        """Media type after the name, `application/octet-stream` if it says nothing."""
        return media_type(self.filename)


@dataclass(frozen=True, slots=True)
class OutputText:
    """A text that a graph node shows.

    Attributes:
        graph_node: The graph node.
        key: The key it was found under, as `text`.
        text: At most 1 Mi characters, untrusted.
        index: Position among the texts of this graph node, from 0.
    """

    graph_node: str
    key: str
    text: str
    index: int


@dataclass(frozen=True, slots=True)
class RejectedOutput:
    """A file whose name could lead out of its folder, or which cannot be fetched.

    Attributes:
        graph_node: The graph node.
        key: The key it was found under.
        reason: What is wrong with it.
    """

    graph_node: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """All that a prompt brought out.

    Ordered by graph node (numbers by value), then as the node listed it; each file once.
    """

    files: tuple[OutputFile, ...] = ()
    texts: tuple[OutputText, ...] = ()
    rejected: tuple[RejectedOutput, ...] = ()


def read_outputs(outputs: Mapping[str, Any]) -> Outputs:
    """Read the `outputs` of a history entry.

    Args:
        outputs: Graph node to key to list of anything.

    Returns:
        Files, texts, and what was refused. Flags and numbers (`animated`, sizes) are neither.
    """
    reader = _Reader()
    for graph_node in sorted(outputs, key=natural_order):
        by_key = outputs[graph_node]
        if isinstance(by_key, dict):
            reader.read_node(clean(graph_node, _MAX_NAME), by_key)
    return Outputs(tuple(reader.files), tuple(reader.texts), tuple(reader.rejected))


def media_type(filename: str) -> str:
    """Guess the media type by name, the same on every machine.

    Args:
        filename: A file name.

    Returns:
        The type; `application/octet-stream` if unknown.
    """
    return _TYPES.guess_type(filename)[0] or "application/octet-stream"


class _Reader:
    def __init__(self) -> None:
        self.files: list[OutputFile] = []
        self.texts: list[OutputText] = []
        self.rejected: list[RejectedOutput] = []
        self._seen: set[tuple[str, str, str]] = set()

    def read_node(self, graph_node: str, by_key: dict[str, Any]) -> None:
        first_file, first_text = len(self.files), len(self.texts)
        for key, values in by_key.items():
            name = clean(key, _MAX_NAME)
            for value in _leaves(values, _MAX_DEPTH):
                if isinstance(value, str):
                    index = len(self.texts) - first_text
                    self.texts.append(OutputText(graph_node, name, clean(value, _MAX_TEXT), index))
                elif "filename" in value:
                    self._file(graph_node, name, value, len(self.files) - first_file)

    def _file(self, graph_node: str, key: str, value: dict[str, Any], index: int) -> None:
        filename, subfolder, folder = value["filename"], value.get("subfolder") or "", value.get("type") or "output"
        if not (isinstance(filename, str) and isinstance(subfolder, str) and isinstance(folder, str)):
            self.rejected.append(RejectedOutput(graph_node, key, "its filename, subfolder or type is not text"))
        elif fault := _fault(filename, subfolder, folder):
            self.rejected.append(RejectedOutput(graph_node, key, fault))
        elif (folder, subfolder, filename) not in self._seen:
            self._seen.add((folder, subfolder, filename))
            self.files.append(OutputFile(graph_node, _kind(key, filename), filename, subfolder, folder, index, key))


def _leaves(value: object, depth: int) -> Iterator[str | dict[str, Any]]:
    if isinstance(value, str | dict):
        yield value
    elif isinstance(value, list) and depth:
        for item in value:
            yield from _leaves(item, depth - 1)


def _fault(filename: str, subfolder: str, folder: str) -> str | None:
    if folder not in _FOLDERS:
        return "its type is none of output, temp, input"
    return _name_fault(filename) or _subfolder_fault(subfolder)


def _name_fault(name: str) -> str | None:
    if not name or len(name.encode("utf-8", "replace")) > _MAX_NAME:
        return "its filename is empty or too long"
    # ComfyUI itself refuses to show a name with two dots in a row anywhere.
    if "/" in name or "\\" in name or ".." in name or name == ".":
        return "its filename leads to another folder"
    if _ANNOTATION.search(name):
        return "its filename ends like a folder annotation"
    return _text_fault(name)


def _subfolder_fault(subfolder: str) -> str | None:
    if len(subfolder) > _MAX_SUBFOLDER:
        return "its subfolder is too long"
    parts = subfolder.replace("\\", "/").split("/")
    if ".." in parts or subfolder.startswith(("/", "\\")) or ":" in subfolder:
        return "its subfolder leads out of its folder"
    return _text_fault(subfolder)


def _text_fault(text: str) -> str | None:
    if _CONTROL.search(text) or clean(text, len(text)) != text:
        return "its name holds control characters or is not Unicode"
    return None


def _kind(key: str, filename: str) -> OutputKind:
    top = media_type(filename).partition("/")[0]
    return _KIND_BY_TYPE.get(top) or _KIND_BY_KEY.get(key, OutputKind.OTHER)


def natural_order(graph_node: str) -> list[tuple[int, int, str]]:
    """Sorts graph nodes as people count them: 2 before 10."""
    parts = graph_node.replace(":", ".").split(".")
    return [(0, int(part), "") if part.isdecimal() and len(part) < 20 else (1, 0, part) for part in parts]


_KIND_BY_TYPE = {
    "image": OutputKind.IMAGE,
    "video": OutputKind.VIDEO,
    "audio": OutputKind.AUDIO,
    "model": OutputKind.MODEL_3D,
    "text": OutputKind.TEXT,
}
_KIND_BY_KEY = {
    "images": OutputKind.IMAGE,
    "gifs": OutputKind.VIDEO,
    "video": OutputKind.VIDEO,
    "videos": OutputKind.VIDEO,
    "audio": OutputKind.AUDIO,
    "3d": OutputKind.MODEL_3D,
    "text": OutputKind.TEXT,
}


def _types() -> MimeTypes:
    types = MimeTypes()
    for media, suffix in (
        ("image/webp", ".webp"),
        ("image/avif", ".avif"),
        ("image/jxl", ".jxl"),
        ("image/x-exr", ".exr"),
        ("video/webm", ".webm"),
        ("video/x-matroska", ".mkv"),
        ("audio/flac", ".flac"),
        ("audio/ogg", ".ogg"),
        ("audio/opus", ".opus"),
        ("audio/wav", ".wav"),
        ("model/gltf-binary", ".glb"),
        ("model/gltf+json", ".gltf"),
        ("model/obj", ".obj"),
        ("model/stl", ".stl"),
        ("model/ply", ".ply"),
        ("application/json", ".json"),
        ("text/plain", ".srt"),
    ):
        types.add_type(media, suffix)
    return types


_TYPES = _types()
