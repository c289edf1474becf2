"""Results of graph nodes, kept from prompt to prompt (ComfyUI protocol notes, section 10)."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from comfymesh.emulator.plan import PlannedNode, is_link

Fingerprint = Callable[[PlannedNode], str]


@dataclass(frozen=True, slots=True)
class Result:
    """What a graph node gave.

    Attributes:
        outputs: One value for each output slot.
        ui: What it told clients and history, or None.
        meta: Which graph node told it, as history keeps it.
    """

    outputs: tuple[object, ...]
    ui: Mapping[str, object] | None = None
    meta: Mapping[str, str | None] | None = None


class ResultCache:
    """Keeps the results used last.

    Args:
        capacity: How many results are kept; 0 keeps none.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._results: OrderedDict[str, Result] = OrderedDict()

    def get(self, signature: str) -> Result | None:
        """Returns a result, or None."""
        if signature in self._results:
            self._results.move_to_end(signature)
        return self._results.get(signature)

    def put(self, signature: str, result: Result) -> None:
        """Keeps a result; the one unused for longest goes when there are too many."""
        self._results[signature] = result
        while len(self._results) > self._capacity:
            self._results.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything."""
        self._results.clear()


def signatures(nodes: Mapping[str, PlannedNode], outputs: Iterable[str], fingerprint: Fingerprint) -> dict[str, str]:
    """Returns what each result depends on: class, inputs and ancestors, but no ids.

    Args:
        nodes: All graph nodes, also those of outputs that were refused.
        outputs: What shall run; every link from there leads to a graph node, and there is no cycle.
        fingerprint: Returns what else a graph node's result depends on, such as the content of a file.
    """
    known: dict[str, str] = {}
    waiting = [*outputs]
    while waiting:
        node = nodes[waiting[-1]]
        missing = [source for source in node.sources() if source not in known]
        if node.id in known or not missing:
            waiting.pop()
            known.setdefault(node.id, signature(node, known, fingerprint))
        else:
            waiting.extend(missing)
    return known


def signature(node: PlannedNode, known: Mapping[str, str], fingerprint: Fingerprint) -> str:
    """Returns the signature of one graph node, those of its sources being known."""
    inputs = {name: _described(value, known) for name, value in sorted(node.inputs.items())}
    described = json.dumps([node.class_type, inputs, fingerprint(node)], default=lambda value: f"object {id(value)}")
    return hashlib.blake2b(described.encode(errors="replace"), digest_size=16).hexdigest()


def _described(value: object, known: Mapping[str, str]) -> object:
    if is_link(value):
        assert isinstance(value, list)
        return ["link", known[value[0]], value[1]]
    return ["value", value]
