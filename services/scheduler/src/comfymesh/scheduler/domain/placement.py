"""Which instance should take a task: filters that say no, then a score among those left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comfymesh.graphs import Catalog
from comfymesh.scheduler.domain.fleet import Instance, InstanceState, Place, Report, site_of
from comfymesh.tasks.placing import Site, unmet
from comfymesh.tasks.record import ModelFile, Requirements

_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance as placement sees it: where it is, what it reports, and how many attempts the log gives it."""

    place: Place
    report: Report
    instance: Instance
    held: int


Filter = Callable[[Candidate, Requirements], bool]
"""Whether a candidate passes."""


def is_open(candidate: Candidate, _: Requirements) -> bool:
    """The node is meant to take work."""
    return candidate.report.open


def is_serving(candidate: Candidate, _: Requirements) -> bool:
    """The instance answers, or is stopped and would."""
    return candidate.instance.serving or candidate.instance.state is InstanceState.STOPPED


def has_free_slot(candidate: Candidate, _: Requirements) -> bool:
    """The instance can hold another attempt."""
    return candidate.held < candidate.instance.slots


def is_wanted(candidate: Candidate, requirements: Requirements) -> bool:
    """The instance is where the task's caller wants it to run."""
    return not any(unmet(requirements.placement, site(candidate)))


def is_running(candidate: Candidate, _: Requirements) -> bool:
    """The instance is not stopped. Asked last: of one that is, everything else must fit for its pool to start it."""
    return candidate.instance.state is not InstanceState.STOPPED


def site(candidate: Candidate) -> Site:
    """What an instance is, as far as callers can ask for it."""
    return site_of(candidate.report, candidate.instance)


FILTERS: tuple[Filter, ...] = (is_open, is_serving, is_wanted, has_free_slot, is_running)


def lacks(catalog: Catalog, requirements: Requirements) -> list[str]:
    """What an instance with this catalog lacks, in words; empty where it can run such graphs."""
    missing = [f"node class {name}" for name in requirements.node_classes if name not in catalog.classes]
    for model in requirements.models:
        node_class = catalog.classes.get(model.node_class)
        spec = node_class.inputs.get(model.input) if node_class else None
        if spec is None or model.name not in spec.options:
            missing.append(f"model {model.name} for {model.node_class}.{model.input}")
    return missing


class Feasibility:
    """Remembers which catalogs satisfy which requirements; both are few, as a rule, and comparing them is not cheap."""

    def __init__(self) -> None:
        self._catalogs: dict[str, Catalog] = {}
        self._known: dict[tuple[str, tuple[str, ...], tuple[ModelFile, ...]], bool] = {}

    def learn(self, digest: str, catalog: Catalog) -> None:
        """Remember a catalog."""
        self._catalogs[digest] = catalog

    def knows(self, digest: str) -> bool:
        """Whether a catalog was learned."""
        return digest in self._catalogs

    def can_run(self, digest: str, requirements: Requirements) -> bool:
        """Whether an instance with this catalog can run such graphs. No, while the catalog is unknown."""
        catalog = self._catalogs.get(digest)
        if catalog is None:
            return False
        question = (digest, requirements.node_classes, requirements.models)
        known = self._known.get(question)
        if known is None:
            known = self._known[question] = not lacks(catalog, requirements)
            if len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return known
