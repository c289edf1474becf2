"""The model files of the fleet: where each is, where graphs can name it, and where it is in memory. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from comfymesh.api.access import allowance
from comfymesh.api.fleet import Offer
from comfymesh.graphs import Catalog
from comfymesh.graphs.models import offered_models
from comfymesh.v1 import model_pb2, node_pb2, tenant_pb2

_CATALOGS = 16
"""So many different catalogs are remembered; hosts that were set up alike share one."""


def models(
    offers: Iterable[Offer], nodes: Iterable[node_pb2.Node], allowed: tenant_pb2.Allowance | None = None
) -> list[model_pb2.Model]:
    """Every model file of the fleet, by name.

    Args:
        offers: What instances offer.
        nodes: The nodes, which know what is in memory.
        allowed: What may be shown; everything where it is None or names no models.
    """
    resident = {
        (node.name, instance.name): frozenset(instance.resident_models) for node in nodes for instance in node.instances
    }
    found: defaultdict[str, model_pb2.Model] = defaultdict(model_pb2.Model)
    inputs: defaultdict[str, set[str]] = defaultdict(set)
    for offer in offers:
        in_memory = resident.get((offer.node, offer.instance), frozenset())
        for name, where in _named(offer.catalog).items():
            inputs[name].update(where)
            held, size = name in in_memory, _size(offer.catalog, name)
            found[name].places.add(node=offer.node, instance=offer.instance, resident=held, size_bytes=size)
    return list(_complete(found, inputs, allowed))


def matching(
    found: Iterable[model_pb2.Model], *, part: str = "", node: str = "", resident_only: bool = False
) -> Iterator[model_pb2.Model]:
    """Those whose name contains `part`, with their places of `node` alone, and in memory alone, where that is asked."""
    for model in found:
        if part.lower() not in model.name.lower():
            continue
        places = [place for place in model.places if node in {"", place.node} and (place.resident or not resident_only)]
        if places:
            yield model_pb2.Model(name=model.name, inputs=model.inputs, places=places)


def _complete(
    found: Mapping[str, model_pb2.Model], inputs: Mapping[str, set[str]], allowed: tenant_pb2.Allowance | None
) -> Iterator[model_pb2.Model]:
    for name in sorted(found):
        if allowed is None or allowance.fits(allowed.models, name):
            model = found[name]
            model.name = name
            model.inputs.extend(sorted(inputs[name]))
            model.places.sort(key=lambda place: (place.node, place.instance))
            yield model


def _size(catalog: Catalog | None, name: str) -> int:
    return catalog.model_sizes.get(name, 0) if catalog else 0


@lru_cache(_CATALOGS)
def _named(catalog: Catalog | None) -> Mapping[str, frozenset[str]]:
    return offered_models(catalog) if catalog else {}
