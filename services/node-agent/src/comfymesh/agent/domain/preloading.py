"""A graph that loads model files and does nothing with them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfymesh.tasks.record import ModelFile

SHOW = "PreviewAny"
"""ComfyUI executes only what an output needs. This class takes whatever a loader gives, and writes no file
(comfy_extras/nodes_preview_any.py)."""


def preload_graph(files: Sequence[ModelFile], info: Mapping[str, Any]) -> tuple[dict[str, Any], dict[ModelFile, str]]:
    """A graph that loads these files, and in words why others of them it can't.

    Args:
        files: What to load: the class of the loader, its input, and the file.
        info: The classes of the instance, as `GET /object_info` answers.
    """
    graph: dict[str, Any] = {}
    wrong: dict[ModelFile, str] = {}
    for number, file in enumerate(files):
        try:
            inputs = _inputs(file, info)
        except LookupError as error:
            wrong[file] = f"{file.name}: {error.args[0]}"
            continue
        loader, shown = str(2 * number), str(2 * number + 1)
        graph[loader] = {"class_type": file.node_class, "inputs": inputs}
        graph[shown] = {"class_type": SHOW, "inputs": {"source": [loader, 0]}}
    return graph, wrong


def _inputs(file: ModelFile, info: Mapping[str, Any]) -> dict[str, Any]:
    if SHOW not in info:
        raise LookupError(f"this ComfyUI has no node class {SHOW}; use a warm-up workflow")
    if file.node_class not in info:
        raise LookupError(f"there is no node class {file.node_class}")
    required = _required(info[file.node_class])
    if file.input not in required:
        raise LookupError(f"{file.node_class} has no input {file.input}")
    if (options := _options(required[file.input])) is not None and file.name not in options:
        raise LookupError(f"{file.node_class} does not offer it; the file is not there")
    others = {name: _default(file.node_class, name, spec) for name, spec in required.items() if name != file.input}
    return {**others, file.input: file.name}


def _required(node_class: Any) -> Mapping[str, Any]:  # noqa: ANN401  # whatever the server has answered
    match node_class:
        case {"input": {"required": Mapping() as required}}:
            return required
        case _:
            return {}


def _options(spec: object) -> Sequence[object] | None:
    match spec:
        case [[*options], *_] | ["COMBO", {"options": [*options]}, *_]:
            return options
        case _:
            return None


def _default(node_class: str, name: str, spec: object) -> Any:  # noqa: ANN401  # whatever an input takes
    match spec:
        case [_, {"default": value}, *_]:
            return value
        case [[first, *_], *_] | ["COMBO", {"options": [first, *_]}, *_]:
            return first
        case _:
            raise LookupError(f"{node_class} needs {name} as well; use a warm-up workflow")
