"""The catalog: which node classes and option lists an instance has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from comfymesh.graphs.graph import JsonValue

COMBO = "COMBO"
_UPLOAD_FLAGS = {
    "image_upload": "image",
    "video_upload": "video",
    "audio_upload": "audio",
    "file_upload": "file",
}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a node class.

    Attributes:
        name: Its name.
        type: Socket or widget type such as ``IMAGE``, ``INT`` or ``COMBO``; a union reads ``A,B``.
        required: Whether a graph must give it.
        written_type: The type as the instance wrote it; a list of options in the older notation of a COMBO.
        config: Its further settings as the instance wrote them (default, min, max, tooltip ...).
        options: What a COMBO allows; empty for other types.
        upload: ``image``, ``video``, ``audio`` or ``file`` when the value names an uploaded file; else None.
            Such lists go out of date with every upload, and the class has a check of its own instead.
    """

    name: str
    type: str
    required: bool
    written_type: JsonValue = None
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    options: tuple[JsonValue, ...] = ()
    upload: str | None = None

    @property
    def written(self) -> list[JsonValue]:
        """The pair that ComfyUI repeats in its errors as ``input_config``."""
        return [self.written_type, dict(self.config)]


@dataclass(frozen=True, slots=True)
class NodeClass:
    """One node class.

    Attributes:
        name: What graphs call it.
        inputs: Input name to input, required ones first; without hidden inputs, which graphs never give.
        outputs: Socket type of each output slot, as the instance wrote it.
        output_node: Whether it can be the end of a graph, such as ``SaveImage``.
        display_name: What the front-end calls it.
        python_module: Where it comes from: ``nodes`` and ``comfy_extras.*`` are ComfyUI's own.
    """

    name: str
    inputs: Mapping[str, InputSpec]
    outputs: tuple[JsonValue, ...]
    output_node: bool
    display_name: str = ""
    python_module: str = ""


MODEL_SIZES = "comfymesh:model_sizes"
"""Where a stored catalog has the sizes of model files, beside the classes. No class is called so."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Catalog:
    """All node classes of an instance. It is large and never changes, so it is equal to itself alone.

    Attributes:
        classes: Class name to node class.
        model_sizes: Sizes of model files in bytes, as far as they are known, by the names that graphs use.
    """

    classes: Mapping[str, NodeClass]
    model_sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_object_info(cls, object_info: Mapping[str, JsonValue]) -> Catalog:
        """Reads the answer of ``GET /object_info``.

        Custom nodes put anything there, so what cannot be read is left out rather than refused: a class that
        is not an object, an input that is not a list.
        """
        found = {name: info for name, info in object_info.items() if name != MODEL_SIZES}
        classes = {name: _node_class(name, info) for name, info in found.items() if isinstance(info, Mapping)}
        return cls(classes, _sizes(object_info.get(MODEL_SIZES)))


def _sizes(written: JsonValue) -> dict[str, int]:
    sizes = written if isinstance(written, Mapping) else {}
    return {name: size for name, size in sizes.items() if isinstance(size, int) and size > 0}


def _node_class(name: str, info: Mapping[str, JsonValue]) -> NodeClass:
    outputs = info.get("output")
    return NodeClass(
        name=name,
        inputs={**_inputs(info, "required"), **_inputs(info, "optional")},
        outputs=tuple(outputs) if isinstance(outputs, list) else (),
        output_node=info.get("output_node") is True,
        display_name=str(info.get("display_name") or name),
        python_module=str(info.get("python_module") or ""),
    )


def _inputs(info: Mapping[str, JsonValue], category: str) -> dict[str, InputSpec]:
    sections = info.get("input")
    written = sections.get(category) if _is_object(sections) else None
    if not _is_object(written):
        return {}
    specs = (_input(name, value, required=category == "required") for name, value in written.items())
    return {spec.name: spec for spec in specs if spec is not None}


def _input(name: str, written: JsonValue, *, required: bool) -> InputSpec | None:
    if not isinstance(written, list) or not written:
        return None
    kind = written[0]
    config = written[1] if len(written) > 1 and isinstance(written[1], dict) else {}
    options = kind if isinstance(kind, list) else config.get("options") if kind == COMBO else None
    return InputSpec(
        name=name,
        type=COMBO if isinstance(kind, list) else str(kind),
        required=required,
        written_type=kind,
        config=config,
        options=tuple(options) if isinstance(options, list) else (),
        upload=next((what for flag, what in _UPLOAD_FLAGS.items() if config.get(flag) is True), None),
    )


def _is_object(value: object) -> TypeGuard[Mapping[str, JsonValue]]:
    return isinstance(value, Mapping)
