"""Checks graphs of which many differ in plain values alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING
from weakref import ref

from comfymesh.graphs.structures import Sound, Structure, structure_of
from comfymesh.graphs.validate import Validation, validate
from comfymesh.graphs.values import check_value
from comfymesh.graphs.violations import Hints

if TYPE_CHECKING:
    from comfymesh.graphs.catalog import Catalog
    from comfymesh.graphs.graph import Graph, JsonValue

_MOST = 4 * 1024 * 1024
_LARGEST = 64 * 1024
_OF_A_PART = 64
_NO_HINTS = Hints(0)


class Checker:
    """Checks graphs as `validate` does, with the same outcome, and remembers structures that were found sound.

    What is sound is sound with one catalog. Of too many structures those that were remembered first are forgotten.
    Catalogs are not held: whoever has one lets it go as before.

    Args:
        most: How much is remembered, in characters; each id and each name counts as 64 more than it has.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = self._room = most
        self._known: dict[tuple[Structure, int], tuple[ref[Catalog], Sound, int]] = {}

    def validate(self, graph: Graph, catalog: Catalog) -> Validation:
        """As `validate`."""
        structure = structure_of(graph)
        sound = self._find(structure, catalog) if structure is not None else None
        if sound is not None and (found := _checked(graph, sound)) is not None:
            return found
        found = validate(graph, catalog)
        if structure is None or sound is not None or found.violations:
            return found
        sound = Sound.of(graph, catalog, found.runnable_outputs, found.reached)
        self._keep(structure, catalog, sound)
        return replace(found, sound=sound)

    def _find(self, structure: Structure, catalog: Catalog) -> Sound | None:
        known = self._known.get((structure, id(catalog)))
        # Another catalog may be where one was that is gone.
        return known[1] if known is not None and known[0]() is catalog else None

    def _keep(self, structure: Structure, catalog: Catalog, sound: Sound) -> None:
        size = sum(map(_size, chain.from_iterable(structure)))
        if size > min(_LARGEST, self._most):
            return
        key = structure, id(catalog)
        if (before := self._known.pop(key, None)) is not None:
            self._room += before[2]
        self._known[key] = ref(catalog), sound, size
        self._room -= size
        while self._room < 0:
            self._room += self._known.pop(next(iter(self._known)))[2]


def _checked(graph: Graph, sound: Sound) -> Validation | None:
    """What `validate` finds of a graph of a sound structure; None where some value is wrong."""
    changed: dict[tuple[str, str], JsonValue] = {}
    for plain in sound.values:
        value = graph.nodes[plain.node_id].inputs[plain.spec.name]
        if plain.is_right(value):
            continue
        checked = check_value(plain.spec, value, None, _NO_HINTS)
        if checked.violation is not None:
            return None
        if checked.value is not value:
            changed[plain.node_id, plain.spec.name] = checked.value
    return Validation(
        graph=graph.with_inputs(changed),
        violations=(),
        runnable_outputs=sound.outputs,
        refused_outputs=(),
        models=sound.references(graph),
        reached=sound.reached,
        sound=sound,
    )


def _size(part: object) -> int:
    text = part[0] if isinstance(part, tuple) else part
    return _OF_A_PART + (len(text) if isinstance(text, str) else 0)
