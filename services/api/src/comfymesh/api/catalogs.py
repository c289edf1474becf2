"""What the fleet offers as a whole: one catalog of all instances, for callers that want to see it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from comfymesh.api.access import allowance
from comfymesh.api.errors import RefusedError
from comfymesh.api.fleet import FleetView
from comfymesh.artifacts.catalogs import CatalogMissingError, read_object_info
from comfymesh.artifacts.store import BlobStore
from comfymesh.graphs import Catalog, JsonValue, merging
from comfymesh.graphs.models import offered_models
from comfymesh.v1 import tenant_pb2

_CLASSES_A_MESSAGE = 100
_KEPT = 8
"""So many catalogs are kept ready: the fleet's, and those of tenants that may not use everything."""


@dataclass(frozen=True, slots=True)
class FleetCatalog:
    """What a tenant may see of the fleet's catalog.

    Attributes:
        digest: Names its content.
        classes: Class name to what ComfyUI tells of it, JSON text.
    """

    digest: str
    classes: Mapping[str, str]

    def batches(self) -> Iterator[Sequence[tuple[str, str]]]:
        """The classes, as many at a time as fit into a message."""
        names = list(self.classes)
        for start in range(0, len(names), _CLASSES_A_MESSAGE):
            yield [(name, self.classes[name]) for name in names[start : start + _CLASSES_A_MESSAGE]]


class FleetCatalogs:
    """Merges the catalogs of the fleet.

    Args:
        fleet: Whose.
        store: Where they are.
    """

    def __init__(self, fleet: FleetView, store: BlobStore) -> None:
        self._fleet = fleet
        self._store = store
        self._made: dict[str, FleetCatalog] = {}
        self._turn = asyncio.Lock()

    async def read(self, allowed: tenant_pb2.Allowance | None) -> FleetCatalog:
        """The catalog of this moment, made anew only when it is another than before.

        Args:
            allowed: What may be shown; None for everything.

        Raises:
            RefusedError: it can't be read now.
        """
        blobs = self._fleet.catalogs()
        rules = tenant_pb2.Allowance()
        if allowed is not None:
            rules.node_classes.extend(allowed.node_classes)
            rules.models.extend(allowed.models)
        parts = [blob.sha256.encode() for blob in blobs]
        digest = hashlib.sha256(b"/".join([*parts, rules.SerializeToString(deterministic=True)])).hexdigest()
        # It takes a moment, and a lot of memory; who comes meanwhile finds it made.
        async with self._turn:
            if digest not in self._made:
                try:
                    found = [await read_object_info(self._store, blob) for blob in blobs]
                except CatalogMissingError as error:
                    raise RefusedError("BUS_UNAVAILABLE", f"the catalog of the fleet can't be read: {error}") from error
                made = await asyncio.to_thread(_make, digest, found, rules)
                self._made = dict([*self._made.items()][1 - _KEPT :]) | {digest: made}
            return self._made[digest]


def _make(digest: str, found: list[dict[str, JsonValue]], rules: tenant_pb2.Allowance) -> FleetCatalog:
    merged = merging.merge(found)
    allowed = {name: info for name, info in merged.items() if allowance.fits(rules.node_classes, name)}
    if rules.models:
        models = offered_models(Catalog.from_object_info(allowed))
        hidden = {name for name in models if not allowance.fits(rules.models, name)}
        allowed = merging.without_options(allowed, lambda option: option not in hidden)
    return FleetCatalog(digest, {name: json.dumps(info) for name, info in allowed.items()})
