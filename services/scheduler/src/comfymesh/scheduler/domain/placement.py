"""What instances can run, by their catalogs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from comfymesh.graphs import Catalog
from comfymesh.tasks.record import ModelFile, Requirements

_MOST_KNOWN = 10_000
_UNUSED_KEPT = 64
"""Catalogs that no instance has now and that are kept: many come back, when their instance starts again."""


def lacking_classes(catalog: Catalog, requirements: Requirements) -> Iterator[str]:
    """The node classes that an instance with this catalog lacks."""
    return (name for name in requirements.node_classes if name not in catalog.classes)


def lacking_models(catalog: Catalog, requirements: Requirements) -> Iterator[ModelFile]:
    """The model files that it lacks, or has where the graph's loader does not look."""
    for model in requirements.models:
        node_class = catalog.classes.get(model.node_class)
        spec = node_class.inputs.get(model.input) if node_class else None
        if spec is None or model.name not in spec.options:
            yield model


class Feasibility:
    """Remembers which catalogs satisfy which requirements; both are few, as a rule, and comparing them is not cheap."""

    def __init__(self) -> None:
        self._catalogs: dict[str, Catalog] = {}
        self._asked: dict[str, None] = {}
        self._known: dict[tuple[str, tuple[str, ...], tuple[ModelFile, ...]], bool] = {}

    def learn(self, digest: str, catalog: Catalog) -> None:
        """Remember a catalog."""
        self._catalogs[digest] = catalog

    def should_ask(self, digest: str) -> bool:
        """An instance has this catalog. Answers whether to ask for it: it is not known, and was not asked for."""
        news = digest not in self._asked
        self._asked.pop(digest, None)
        self._asked[digest] = None
        return news

    def forget_unused(self, used: set[str]) -> None:
        """Forget catalogs that no instance has, but for those seen last. Who comes back is asked again."""
        unused = [digest for digest in self._asked if digest not in used]
        for digest in unused[: max(len(unused) - _UNUSED_KEPT, 0)]:
            del self._asked[digest]
            self._catalogs.pop(digest, None)

    def catalog(self, digest: str) -> Catalog | None:
        """The catalog, None while it is unknown."""
        return self._catalogs.get(digest)

    def can_run(self, digest: str, requirements: Requirements) -> bool:
        """Whether an instance with this catalog can run such graphs. No, while the catalog is unknown."""
        catalog = self._catalogs.get(digest)
        if catalog is None:
            return False
        question = (digest, requirements.node_classes, requirements.models)
        known = self._known.get(question)
        if known is None:
            known = self._known[question] = _can_run(catalog, requirements)
            if len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return known


def _can_run(catalog: Catalog, requirements: Requirements) -> bool:
    lacking = chain(lacking_classes(catalog, requirements), lacking_models(catalog, requirements))
    return next(lacking, None) is None
