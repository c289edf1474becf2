"""Checks graphs of which many differ in plain values alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from comfymesh.graphs.structures import ROOM_FOR_SHAPES, Sound, Structure, structure_of
from comfymesh.graphs.validate import Validation, validate
from comfymesh.graphs.values import check_value
from comfymesh.graphs.violations import Hints

if TYPE_CHECKING:
    from comfymesh.graphs.catalog import Catalog
    from comfymesh.graphs.graph import Graph, JsonValue

_MOST = 8 * 1024 * 1024
_LARGEST = 64 * 1024
_OF_A_PART = 64
_NO_HINTS = Hints(0)


class Checker:
    """Checks graphs as `validate` does, with the same outcome, and remembers structures that were found sound.

    What is sound is sound with one catalog. Of too many structures those that were remembered first are forgotten.
    Catalogs are not held: whoever has one lets it go as before. What was remembered with it
    goes when another comes.

    Args:
        most: How much is remembered, in characters: each id and each name counts as 64 more than it has, each structure
            has room for its shapes besides.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = self._room = most
        self._known: dict[tuple[Structure, int], tuple[Sound, int]] = {}
        self._catalogs = WeakValueDictionary[int, "Catalog"]()

    def validate(self, graph: Graph, catalog: Catalog) -> Validation:
        """As `validate`."""
        structure = structure_of(graph)
        sound = self._find(structure, catalog) if structure is not None else None
        if sound is not None and (found := _checked(graph, sound)) is not None:
            return found
        found = validate(graph, catalog)
        # A list that was wrapped, where that stands for a value, is a link from now on.
        if structure is None or sound is not None or found.violations or structure_of(found.graph) != structure:
            return found
        sound = Sound.of(graph, catalog, found.runnable_outputs, found.reached)
        self._keep(structure, catalog, sound)
        return replace(found, sound=sound)

    def _find(self, structure: Structure, catalog: Catalog) -> Sound | None:
        if self._catalogs.get(id(catalog)) is not catalog:
            return None
        known = self._known.get((structure, id(catalog)))
        return known[0] if known is not None else None

    def _keep(self, structure: Structure, catalog: Catalog, sound: Sound) -> None:
        size = ROOM_FOR_SHAPES + sum(map(_size, chain.from_iterable(structure)))
        if size > min(_LARGEST, self._most):
            return
        if self._catalogs.get(id(catalog)) is not catalog:
            self._meet(catalog)
        self._known[structure, id(catalog)] = sound, size
        self._room -= size
        while self._room < 0:
            self._forget(next(iter(self._known)))

    def _meet(self, catalog: Catalog) -> None:
        """Another has come, which may be where one was that is gone. Of those that are, no part is to be held."""
        for key in [key for key in self._known if key[1] not in self._catalogs]:
            self._forget(key)
        self._catalogs[id(catalog)] = catalog

    def _forget(self, key: tuple[Structure, int]) -> None:
        self._room += self._known.pop(key)[1]


def _checked(graph: Graph, sound: Sound) -> Validation | None:
    """What `validate` finds of a graph of a sound structure; None where some value is wrong, or becomes a link."""
    changed: dict[tuple[str, str], JsonValue] = {}
    for plain in sound.values:
        value = graph.nodes[plain.node_id].inputs[plain.spec.name]
        if plain.is_right(value):
            continue
        checked = check_value(plain.spec, value, None, _NO_HINTS)
        if checked.violation is not None or isinstance(checked.value, list):
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
