"""Which literal inputs name files that belong to a node, not to the caller. Pure.

A node keeps what callers bring and what attempts write in folders of its own (comfymesh.agent.domain.folders), whose
names can't be guessed. Who has come by one all the same, in the graph that ComfyUI writes into a picture for instance,
can't use it either.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Iterator

from comfymesh.api.errors import Violation
from comfymesh.graphs import Graph, JsonValue

_FOLDER = "comfymesh"
_OF_COMFYUI = {_FOLDER, "output", "temp"}
_LONGEST_PATH = 1024
# How ComfyUI's loaders are told another folder than that of inputs (`folder_paths.annotated_filepath`).
_ANNOTATED = re.compile(r"\.\w{1,8}.?\[(?:output|temp)\]\Z", re.DOTALL)
# Without one of these names nothing leads there. Outside of ASCII letters have more than two cases.
_TOLD = re.compile("|".join(sorted(_OF_COMFYUI)), re.IGNORECASE)
_WHY = "names a file of the node itself; give the file as an asset (upload it first)"

# The agent leads every one of these into a folder of the attempt: nothing is read there.
_LED_ELSEWHERE = "filename_prefix"


def violations(
    graph: Graph, given: Container[tuple[str, str]], assets: Container[tuple[str, str]]
) -> Iterator[Violation]:
    """Each input of a graph that names such a file.

    Args:
        graph: With the inputs that the request gives.
        given: Graph node and name of these inputs.
        assets: Of inputs that an asset stands for: whatever is there now is replaced on the node.
    """
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            if not isinstance(value, (str, list, dict)):
                continue
            place = (node.id, name)
            if name == _LED_ELSEWHERE or place in assets or not any(map(is_nodes_own, _texts(value))):
                continue
            field = f"task.inputs[{node.id}.{name}]" if place in given else f"task.graph_json[{node.id}].inputs.{name}"
            yield Violation(field, _WHY)


def is_nodes_own(text: str) -> bool:
    """Whether a text, taken for a path, leads to files of a node.

    It does in one of ComfyMesh's folders, or out of the folder of inputs into one that ComfyUI writes in. A text of
    several lines, or one longer than a path, is a prompt and may say what it likes.
    """
    if len(text) > _LONGEST_PATH or (text.isascii() and not _TOLD.search(text)) or len(text.splitlines()) > 1:
        return False
    path = text.strip().replace("\\", "/").casefold()
    if _ANNOTATED.search(path):
        return True
    absolute, parts = path.startswith("/"), posixpath.normpath(path.lstrip("/")).split("/")
    folders = {part.strip() for part in parts[:-1]}
    if absolute or parts[0] == "..":
        return not folders.isdisjoint(_OF_COMFYUI)
    return parts[0] == _FOLDER and (len(parts) > 1 or path.endswith("/"))


def _texts(value: JsonValue) -> Iterator[str]:
    """The texts in a literal, however deep: ComfyUI takes lists, and objects with `__value__`."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
            case list(values):
                waiting.extend(values)
            case dict(values):
                waiting.extend(values.values())
            case _:
                continue
