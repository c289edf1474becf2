"""Instances that are alike, whatever they do at the moment: what a task asks for is compared with each kind once.

A fleet of thousands has few kinds, unless every node has a label of its own. Then the kinds that a wish for labels
leaves are found by an index, not by looking at all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comfymesh.scheduler.domain.placement import Feasibility
from comfymesh.scheduler.domain.vram import Needs, make_of
from comfymesh.tasks.placing import Site, unmet
from comfymesh.tasks.record import ANYWHERE, Placement, Requirements

_MOST_PLACEMENTS = 10_000
_Trait = tuple[str, str, str]
_Name = tuple[tuple[tuple[str, str], ...], str, int, str, str]


class Kind:
    """Instances with the same site and catalog.

    Attributes:
        site: What callers can ask for.
        catalog: Digest of what they can run; empty until it is known.
        count: How many there are.
    """

    __slots__ = ("catalog", "count", "name", "site")

    def __init__(self, name: _Name, site: Site, catalog: str) -> None:
        self.name = name
        self.site = site
        self.catalog = catalog
        self.count = 0

    def traits(self) -> Iterator[_Trait]:
        """By what it is found."""
        for key, value in self.site.labels.items():
            yield ("label", key, value)
        yield ("gpu_class", self.site.gpu_class, "")
        yield ("pool", self.site.pool, "")


class Kinds:
    """Every kind of which there are instances.

    Attributes:
        version: Changes when kinds come or go.
    """

    def __init__(self) -> None:
        self.version = 0
        self._known: dict[_Name, Kind] = {}
        self._with: dict[_Trait, dict[Kind, None]] = {}
        self._fitting: dict[Placement, dict[Kind, None]] = {}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._known.values())

    def join(self, site: Site, catalog: str) -> Kind:
        """One more instance is of this kind."""
        name = (tuple(sorted(site.labels.items())), site.gpu_class, site.vram_bytes, site.pool, catalog)
        kind = self._known.get(name)
        if kind is None:
            kind = self._known[name] = Kind(name, site, catalog)
            for trait in kind.traits():
                self._with.setdefault(trait, {})[kind] = None
            self.changed()
        kind.count += 1
        return kind

    def leave(self, kind: Kind) -> None:
        """One instance less is of this kind."""
        kind.count -= 1
        if kind.count:
            return
        del self._known[kind.name]
        for trait in kind.traits():
            del self._with[trait][kind]
            if not self._with[trait]:
                del self._with[trait]
        self.changed()

    def fitting(self, placement: Placement) -> dict[Kind, None]:
        """The kinds that meet what a caller asks for."""
        found = self._fitting.get(placement)
        if found is None:
            if len(self._fitting) >= _MOST_PLACEMENTS:
                del self._fitting[next(iter(self._fitting))]
            near = min(
                (self._with.get(trait, {}) for trait in _traits(placement)), key=len, default=self._known.values()
            )
            found = self._fitting[placement] = {kind: None for kind in near if not any(unmet(placement, kind.site))}
        return found

    def changed(self) -> None:
        """What is known of them has changed: whatever was found out before may be wrong."""
        self.version += 1
        self._fitting.clear()


def _traits(placement: Placement) -> Iterator[_Trait]:
    for key, value in placement.labels:
        yield ("label", key, value)
    if placement.gpu_class:
        yield ("gpu_class", placement.gpu_class, "")
    if placement.pool:
        yield ("pool", placement.pool, "")


class Fit:
    """Which kinds of instances can run graphs that need this, found out once for each.

    Attributes:
        requirements: What they need.
        anywhere: Whether any instance there is can run them.
        large: Whether they need more memory than some have, by what their callers say or by what was learned.
    """

    __slots__ = (
        "_feasibility",
        "_kinds",
        "_more_than",
        "_runs",
        "_version",
        "_where",
        "anywhere",
        "large",
        "requirements",
    )

    def __init__(self, requirements: Requirements, kinds: Kinds, feasibility: Feasibility, needs: Needs) -> None:
        placement = requirements.placement
        self._where = None if placement == ANYWHERE else kinds.fitting(placement)
        self.requirements = requirements
        self._kinds = kinds
        self._version = kinds.version
        self._feasibility = feasibility
        self._runs: dict[str, bool] = {}
        among = kinds if self._where is None else self._where
        self.anywhere = any(self._can_run(kind.catalog) for kind in among)
        self._more_than = self._learned(needs.too_little(make_of(requirements)), among)
        self.large = self.anywhere and self._is_large(max(placement.min_vram_bytes, self._more_than + 1))

    def __contains__(self, kind: Kind) -> bool:
        fits = self._where is None or kind in self._where
        return fits and self._can_run(kind.catalog) and self.has_memory(kind)

    def has_memory(self, kind: Kind) -> bool:
        """Whether its GPUs have more memory than is known to be too little, as far as that is known."""
        size = kind.site.vram_bytes
        return not size or size > self._more_than

    def _is_large(self, need: int) -> bool:
        return need > 1 and any(0 < kind.site.vram_bytes < need for kind in self._kinds)

    def _learned(self, too_little: int, among: Iterable[Kind]) -> int:
        """What is too little. Nothing is where nobody has more: it may be wrong, and nobody is to wait for ever."""
        if not too_little:
            return 0
        return too_little if any(k.site.vram_bytes > too_little and self._can_run(k.catalog) for k in among) else 0

    @property
    def holds(self) -> bool:
        """Whether the kinds are still those of then."""
        return self._version == self._kinds.version

    def _can_run(self, catalog: str) -> bool:
        known = self._runs.get(catalog)
        if known is None:
            known = self._runs[catalog] = self._feasibility.can_run(catalog, self.requirements)
        return known
