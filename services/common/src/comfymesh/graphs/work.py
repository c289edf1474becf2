"""How much work a graph is: what it has in common with others, and how large it is among them.

Two graphs of one *shape* load the same files and run the same classes in the same way, so what one took tells what the
other will take, in proportion to their *units*. Neither is exact, and need not be: what a unit of a shape takes is
learned from its runs, so whatever all graphs of a shape have in common cancels out.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfymesh.graphs.catalog import COMBO, Catalog
from comfymesh.graphs.models import names_model
from comfymesh.graphs.walk import needed

if TYPE_CHECKING:
    from comfymesh.graphs.graph import Graph, GraphNode, JsonValue
    from comfymesh.graphs.structures import Sound

_DIGEST_BYTES = 8
_MEGAPIXEL = 1024.0 * 1024.0
_UNITS = (1e-3, 1e6)
_PICTURES = ("LATENT", "IMAGE")
_FRAMES = ("batch_size", "length", "video_frames", "frames", "num_frames")
"""What node classes call the number of pictures they make: of ComfyUI's own, and of widely used video nodes."""
_ROOM = 64
"""Graph nodes that are looked at in search of the size of one picture: pictures come from close by."""


@dataclass(frozen=True, slots=True)
class GraphWork:
    """How much work a graph is.

    Attributes:
        shape: Digest of classes, links and model files of all that runs; 16 hex digits. Names of graph nodes, seeds,
            texts, sizes and steps do not matter to it.
        units: Sampling steps x megapixels x pictures, over all samplers. 1 where no graph node has steps.
    """

    shape: str
    units: float


def work(graph: Graph, catalog: Catalog, outputs: Sequence[str], sound: Sound | None = None) -> GraphWork:
    """Measures a graph.

    Args:
        graph: The graph, checked.
        catalog: What its classes are like.
        outputs: Output graph nodes that will run.
        sound: What is known of graphs of its structure, all of whose outputs run.
    """
    if sound is not None:
        return GraphWork(_known_shape(graph, sound), _units(graph, catalog, sound.running))
    running = needed(graph, outputs)
    return GraphWork(_shape(graph, running), _units(graph, catalog, running))


def _known_shape(graph: Graph, sound: Sound) -> str:
    files = sound.files(graph)
    if (known := sound.shapes.find(files)) is not None:
        return known
    shape = _shape(graph, sound.running)
    sound.shapes.keep(files, shape)
    return shape


# Shape: each graph node is named by its class, its files and the names of what feeds it; all of them together are the
# shape. So it does not matter how graph nodes are called or in which order they are written.


def _shape(graph: Graph, running: Sequence[str]) -> str:
    names: dict[str, bytes] = {}
    for node_id in running:
        names[node_id] = _digest(_parts(graph.nodes[node_id], names))
    return _digest(sorted(names.values())).hex()


def _parts(node: GraphNode, names: Mapping[str, bytes]) -> list[bytes]:
    parts = [_text(node.class_type)]
    for name, value in sorted(node.inputs.items()):
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            parts += [_text(name), names.get(value[0], b""), _text(str(value[1]))]
        elif names_model(value):
            parts += [_text(name), _text(value)]
    return parts


def _text(text: str) -> bytes:
    return text.encode(errors="replace")


def _digest(parts: Sequence[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


# Units: who has steps, and how large are the pictures they are taken on?


def _units(graph: Graph, catalog: Catalog, running: Sequence[str]) -> float:
    reader = _Reader(graph, catalog)
    total = sum(
        steps * sum(map(reader.size, places))
        for node_id, places in _places(reader, running).items()
        if (steps := reader.steps(graph.nodes[node_id]))
    )
    return min(max(total, _UNITS[0]), _UNITS[1]) if total > 0 else 1.0


def _places(reader: _Reader, running: Sequence[str]) -> dict[str, list[str]]:
    """Graph nodes with steps, and where they are taken: at themselves, or where the sigmas that they make are used."""
    places: dict[str, list[str]] = {node_id: [] for node_id in running if reader.has_steps(node_id)}
    for node_id in running if places else ():
        for source in reader.sigmas(node_id):
            if source in places:
                places[source].append(node_id)
    return {node_id: used or [node_id] for node_id, used in places.items()}


class _Reader:
    """Reads numbers from a graph. Whoever wrote it may have put anything anywhere."""

    def __init__(self, graph: Graph, catalog: Catalog) -> None:
        self._graph = graph
        self._catalog = catalog

    def has_steps(self, node_id: str) -> bool:
        return "steps" in self._graph.nodes[node_id].inputs

    def steps(self, node: GraphNode) -> float:
        """Steps that are taken: some samplers are told to begin late, or to end early."""
        steps = self._number(node, "steps")
        first, last = self._number(node, "start_at_step"), self._number(node, "end_at_step")
        return max(min(steps, last or steps) - first, 0.0)

    def sigmas(self, node_id: str) -> Iterator[str]:
        """Graph nodes from which this one has its sigmas, on however many ways through others."""
        waiting, seen = [*self._fed(node_id, ("SIGMAS",))], set[str]()
        if not waiting or "SIGMAS" in self._makes(node_id):
            return
        while waiting and len(seen) < _ROOM:
            source = waiting.pop()
            if source not in seen:
                seen.add(source)
                waiting += self._fed(source, ("SIGMAS",))
                yield source

    def size(self, node_id: str) -> float:
        """Megapixels x pictures on which a graph node works: of the nearest that makes or scales them."""
        scale, frames, seen = 1.0, dict[str, float](), set[str]()
        waiting = deque([node_id])
        while waiting and len(seen) < _ROOM:
            node = self._graph.nodes[waiting.popleft()]
            if node.id in seen:
                continue
            seen.add(node.id)
            frames = {name: number for name in _FRAMES if (number := self._number(node, name))} | frames
            width, height = self._number(node, "width"), self._number(node, "height")
            if width and height:
                scale *= width * height / _MEGAPIXEL
                break
            scale *= (self._number(node, "scale_by") or 1.0) ** 2
            waiting += self._fed(node.id, _PICTURES)
        return scale * math.prod(frames.values())

    def _fed(self, node_id: str, types: Sequence[str]) -> Iterator[str]:
        """Graph nodes that feed this one with something of these types."""
        for _, link in self._graph.nodes[node_id].links():
            source = self._graph.nodes.get(link.node_id) if isinstance(link.node_id, str) else None
            node_class = self._catalog.classes.get(source.class_type) if source else None
            if source and node_class and _output(node_class.outputs, link.slot) in types:
                yield source.id

    def _makes(self, node_id: str) -> Sequence[JsonValue]:
        node_class = self._catalog.classes.get(self._graph.nodes[node_id].class_type)
        return node_class.outputs if node_class else ()

    def _number(self, node: GraphNode, name: str) -> float:
        """The value of an input; where another graph node gives it, the only number that is written there. Else 0."""
        value = node.inputs.get(name)
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            source = self._graph.nodes.get(value[0])
            numbers = [n for given in source.inputs.values() if (n := _finite(given))] if source else []
            return numbers[0] if len(numbers) == 1 else 0.0
        return _finite(value)


def _output(outputs: Sequence[JsonValue], slot: JsonValue) -> JsonValue:
    known = isinstance(slot, int) and 0 <= slot < len(outputs)
    return outputs[slot] if known and isinstance(slot, int) else COMBO


def _finite(value: JsonValue) -> float:
    """A number above 0 that is one; 0 for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 < value < _UNITS[1] and math.isfinite(value) else 0.0
