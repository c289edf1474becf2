"""How node classes of the emulator are declared, and how they read in ``/object_info``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from comfymesh.emulator.values import Inputs, Outcome
from comfymesh.graphs import JsonValue

if TYPE_CHECKING:
    from comfymesh.emulator.node_run import NodeRun


@dataclass(frozen=True, slots=True)
class FileList:
    """An input that offers files: uploaded ones (``input``) or model files of a kind.

    Attributes:
        kind: ``input`` or a kind of model.
        combo: Whether it is written in the newer notation, ``["COMBO", {"options": [...]}]``.
        config: Further settings.
    """

    kind: str
    combo: bool = False
    config: Mapping[str, JsonValue] = field(default_factory=dict)

    def written(self, names: list[str]) -> list[JsonValue]:
        """Returns the input as it stands in the catalog, with these names."""
        options: list[JsonValue] = [*names]
        return ["COMBO", {**self.config, "options": options}] if self.combo else [options, dict(self.config)]


InputDefinition = list[JsonValue] | FileList
RunNode = Callable[["NodeRun", Inputs], Outcome]


@dataclass(frozen=True, slots=True)
class NodeDefinition:
    """A node class.

    Attributes:
        name: What graphs call it.
        run: Runs one graph node of it.
        required: Inputs a graph must give.
        optional: Inputs a graph may give.
        hidden: Inputs that only the server gives.
        outputs: Type of each output slot.
        output_names: Name of each output slot; the types where empty.
        display_name: What the front-end calls it.
        category: Where the front-end lists it.
        module: Where it is said to come from.
        output_node: Whether it can be the end of a graph.
        fingerprint: Says when a result is out of date although the inputs are the same; None when never.
    """

    name: str
    run: RunNode
    required: Mapping[str, InputDefinition] = field(default_factory=dict)
    optional: Mapping[str, InputDefinition] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    display_name: str = ""
    category: str = "image"
    module: str = "nodes"
    output_node: bool = False
    fingerprint: Callable[[NodeRun, Inputs], str] | None = None

    def as_json(self, names: Callable[[str], list[str]]) -> dict[str, JsonValue]:
        """Returns the class as ``/object_info`` writes it.

        Args:
            names: Lists the files of a kind.
        """
        sections: dict[str, Mapping[str, InputDefinition] | Mapping[str, str]]
        sections = {"required": self.required, "optional": self.optional, "hidden": self.hidden}
        present = {section: inputs for section, inputs in sections.items() if inputs or section == "required"}
        return {
            "input": {section: _written(inputs, names) for section, inputs in present.items()},
            "input_order": {section: list[JsonValue](inputs) for section, inputs in present.items()},
            "is_input_list": False,
            "output": list[JsonValue](self.outputs),
            "output_is_list": [False for _ in self.outputs],
            "output_name": list[JsonValue](self.output_names or self.outputs),
            "name": self.name,
            "display_name": self.display_name or self.name,
            "description": "",
            "python_module": self.module,
            "category": self.category,
            "output_node": self.output_node,
            "has_intermediate_output": False,
        }


def _written(
    inputs: Mapping[str, InputDefinition] | Mapping[str, str], names: Callable[[str], list[str]]
) -> dict[str, JsonValue]:
    return {
        name: definition.written(names(definition.kind)) if isinstance(definition, FileList) else definition
        for name, definition in inputs.items()
    }


def socket(kind: str) -> list[JsonValue]:
    """Declares an input that only a link can feed."""
    return [kind, {}]


def integer(default: int, low: int, high: int, step: int | None = 1) -> list[JsonValue]:
    """Declares an INT."""
    config: dict[str, JsonValue] = {"default": default, "min": low, "max": high}
    return ["INT", config if step is None else {**config, "step": step}]


def number(default: float, low: float, high: float, step: float | None = 0.01) -> list[JsonValue]:
    """Declares a FLOAT."""
    config: dict[str, JsonValue] = {"default": default, "min": low, "max": high}
    return ["FLOAT", config if step is None else {**config, "step": step}]


def text(default: str = "", *, multiline: bool = False) -> list[JsonValue]:
    """Declares a STRING."""
    return ["STRING", {"default": default, **({"multiline": True} if multiline else {})}]


def flag(*, default: bool) -> list[JsonValue]:
    """Declares a BOOLEAN."""
    return ["BOOLEAN", {"default": default}]


def choice(*options: str) -> list[JsonValue]:
    """Declares a list to choose from, in the older notation."""
    return [list[JsonValue](options), {}]
